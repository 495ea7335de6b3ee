package http

import (
	"context"

	"golang.org/x/net/http2/hpack"
	tandem_rt "tandem/rt"
)

// tandemWriteHTTP2 adds the trace to a request's headers, unless the caller has his own. The goroutine that encodes them
// has inherited the client's span. They are never indexed: each value is used once.
func tandemWriteHTTP2(encoder *hpack.Encoder, ctx context.Context, header Header) {
	span := tandem_rt.Current()
	if span == nil || tandemHasParent(header) {
		return
	}
	var out tandem_rt.Outgoing
	tandemFill(&out, span, ctx, header)
	for heads := out.Heads(); heads != 0; heads &= heads - 1 {
		name, value := out.Header(heads)
		encoder.WriteField(hpack.HeaderField{Name: name.Lower, Value: value, Sensitive: true})
	}
}
