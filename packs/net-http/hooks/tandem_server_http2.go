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
	var incoming tandem_rt.Incoming
	for _, header := range tandem_rt.Carriers() {
		incoming.Catch(header.Canonical, req.Header[header.Canonical])
	}
	span := tandem_rt.StartIncoming(tandemServerOp, &incoming)
	if span == nil {
		return nil
	}
	req.ctx = context.WithValue(req.Context(), tandem_rt.ContextKey, span.Capture())
	tandemServerAttributes(span, req, req.Header.Get("User-Agent"), "2")
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
