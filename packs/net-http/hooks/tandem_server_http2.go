package http

import (
	"context"
	"fmt"

	tandem_http "tandem/http"
	tandem_rt "tandem/rt"
)

// Servers of HTTP/2: a stream has a goroutine of its own, which starts empty.

// tandemStream is a request's span and, at once, its context. It lies in the stream where that can be (until Go 1.26), so
// that it costs no allocation. Like a response of HTTP/1 it may be kept beyond the request.
type tandemStream struct {
	context.Context // what the request's context would be without us
	span            tandem_rt.Holder
	ids             tandem_rt.IDs
}

// Value answers for the span.
func (s *tandemStream) Value(key any) any {
	if key == tandem_rt.ContextKey {
		return s.span.Show(&s.ids)
	}
	return s.Context.Value(key)
}

// String keeps fmt from looking into the span.
func (s *tandemStream) String() string { return fmt.Sprint(s.Context) }

// start begins a request's span, and says whether there is one.
func (s *tandemStream) start(req *Request) bool {
	if !tandemServerOp.On() {
		return false
	}
	incoming := tandem_rt.Incoming{Path: req.URL.Path}
	for _, header := range tandem_rt.Carriers() {
		incoming.Catch(header.Canonical, req.Header[header.Canonical])
	}
	span := tandem_rt.StartIncoming(tandemServerOp, &incoming)
	if span == nil {
		return false
	}
	s.Context = req.Context()
	s.span.Hold(span)
	req.ctx = s
	tandemServerAttributes(span, req, req.Header.Get("User-Agent"), "2")
	return true
}

// end ends the span of a request whose handler has returned.
func (s *tandemStream) end(status int, header Header) {
	if s == nil {
		return
	}
	span := s.span.Held()
	tandem_http.ServerStatus(span, status)
	tandemAnswered(span, header)
	s.span.Release(span, &s.ids)
	span.End()
}

// failed is called when the handler did not return; value is what recover gave.
func (s *tandemStream) failed(value any) any {
	if s != nil {
		span := s.span.Held()
		s.span.Release(span, &s.ids)
		span.EndPanic(value)
	}
	return value
}
