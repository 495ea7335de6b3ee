package http

import (
	tandem_rt "tandem/rt"

	"golang.org/x/net/http2/hpack"
)

// tandemWriteHTTP2 adds the trace to a request's headers, unless the caller has his own. The goroutine that encodes them
// has inherited the client's span. They are never indexed: each value is used once.
func tandemWriteHTTP2(encoder *hpack.Encoder, header Header) {
	span := tandem_rt.Current()
	if span == nil || len(header["Traceparent"]) != 0 {
		return
	}
	encoder.WriteField(hpack.HeaderField{Name: "traceparent", Value: span.Traceparent(), Sensitive: true})
	if state := span.Tracestate(); state != "" && tandemPrintable(state) {
		encoder.WriteField(hpack.HeaderField{Name: "tracestate", Value: state, Sensitive: true})
	}
}
