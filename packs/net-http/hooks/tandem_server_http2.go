package http

import (
	"context"

	tandem_rt "tandem/rt"
)

// Servers of HTTP/2: a stream has a goroutine of its own, which starts empty.

func tandemServerStartHTTP2(req *Request) *tandem_rt.Span {
	if !tandemServerOp.On() {
		return nil
	}
	var headers tandemHeaders
	for _, key := range [...]string{"Traceparent", "Tracestate", "User-Agent"} {
		headers.catch(key, req.Header[key])
	}
	span := tandem_rt.StartRemote(tandemServerOp, headers.traceparent, headers.tracestate)
	if span == nil {
		return nil
	}
	req.ctx = context.WithValue(req.Context(), tandem_rt.ContextKey, span.Capture())
	tandemServerAttributes(span, req, headers.userAgent, "2")
	return span
}

func tandemServerEndHTTP2(span *tandem_rt.Span, status int) {
	if span != nil {
		tandemServerStatus(span, status)
		span.End()
	}
}

// tandemServerPanicHTTP2 is called when the handler did not return; value is what recover gave.
func tandemServerPanicHTTP2(span *tandem_rt.Span, value any) any {
	span.EndPanic(value)
	return value
}
