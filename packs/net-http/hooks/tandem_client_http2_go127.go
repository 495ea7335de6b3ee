package http2

import (
	"context"

	"golang.org/x/net/http2/hpack"
	tandem_rt "tandem/rt"
)

// tandemWriteHTTP2 adds the trace to a request's headers, unless the caller has his own. The goroutine that encodes them
// has inherited the client's span. They are never indexed: each value is used once.
func tandemWriteHTTP2(encoder *hpack.Encoder, ctx context.Context, header Header) {
	span := tandem_rt.Current()
	if span == nil {
		return
	}
	for _, parent := range tandem_rt.Parents() {
		if len(header[parent.Canonical]) != 0 {
			return
		}
	}
	var out tandem_rt.Outgoing
	if ctx == nil { // N.B. Not a nil interface of another type.
		out.Fill(span, nil)
	} else {
		out.Fill(span, ctx)
	}
	for heads := out.Heads(); heads != 0; heads &= heads - 1 {
		if name, value := out.Header(heads); len(header[name.Canonical]) == 0 {
			encoder.WriteField(hpack.HeaderField{Name: name.Lower, Value: value, Sensitive: true})
		}
	}
}
