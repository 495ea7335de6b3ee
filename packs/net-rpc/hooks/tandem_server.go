package rpc

import (
	"reflect"

	tandem_rt "tandem/rt"
)

// The server half: a call's span is that of the method that it calls, on whose goroutine it is current. Nothing of the
// caller comes with the call, so it is the root of a trace.

var tandemServerOp = tandem_rt.NewOp("net/rpc.server", "tandem/net/rpc", tandem_rt.KindServer, "{rpc.method}")

// tandemServed is a call that is served.
type tandemServed struct {
	span *tandem_rt.Span
	err  any
	done bool
}

func tandemServe(req *Request) (served tandemServed) {
	nobody := tandem_rt.Incoming{Path: req.ServiceMethod}
	served.span = tandem_rt.StartIncoming(tandemServerOp, &nobody)
	served.span.Str(tandem_rt.KeyRPCSystemName, tandemSystem)
	served.span.Str(tandem_rt.KeyRPCMethod, req.ServiceMethod)
	return served
}

// returned notes what the method returned.
func (s *tandemServed) returned(err any) { s.err, s.done = err, true }

// end ends the span when the answer is sent, or when the method panicked: then nothing is recovered.
func (s *tandemServed) end() {
	if s.span == nil {
		return
	}
	if !s.done {
		s.span.SetError("panic", "")
	} else if err, ok := s.err.(error); ok && err != nil {
		s.span.SetError(reflect.TypeOf(err).String(), err.Error())
	}
	s.span.End()
}
