package twirp

import (
	"context"

	tandem_rt "tandem/rt"
)

// This file makes the server's spans by hooks of Twirp's own, which generated code calls on the goroutine that serves the request:
// from when the method is known to when the answer is written. It is a child of the span of the HTTP request, which has
// continued the caller's trace.

var tandemServerOp = tandem_rt.NewOp("twirp.server", tandemScope, tandem_rt.KindServer, tandemName)

// The first of a server's hooks and the last: what the program's own hooks do is part of the call.
var (
	tandemServes = &ServerHooks{RequestRouted: tandemRouted}
	tandemServed = &ServerHooks{Error: tandemRefused, ResponseSent: tandemSent}
	tandemAll    = &ServerHooks{RequestRouted: tandemRouted, Error: tandemRefused, ResponseSent: tandemSent}
)

// tandemServer gives a server that is being made its hooks.
func tandemServer(opts *ServerOptions) {
	if opts == nil || opts.tandem {
		return
	}
	opts.tandem = true
	if opts.Hooks == nil {
		opts.Hooks = tandemAll
	} else {
		opts.Hooks = ChainHooks(tandemServes, opts.Hooks, tandemServed)
	}
}

// tandemRouted begins a call's span.
func tandemRouted(ctx context.Context) (context.Context, error) {
	if !tandemServerOp.On() {
		return ctx, nil
	}
	var method tandemMethod
	method.read(ctx)
	if span := tandem_rt.StartServed(tandemServerOp, tandem_rt.FromContext(ctx), method.path()); span != nil {
		method.describe(span)
	}
	return ctx, nil
}

// tandemRefused says why a call fails. It is the server's failure where the code is one of those.
func tandemRefused(ctx context.Context, err Error) context.Context {
	if span := tandem_rt.Woven(); span.Is(tandemServerOp) {
		code := tandemCode(err)
		span.Str(tandem_rt.KeyRPCResponseStatusCode, code)
		if tandemServerFault(err.Code()) {
			span.SetError(code, "")
		}
	}
	return ctx
}

// tandemSent ends the span.
func tandemSent(context.Context) {
	if span := tandem_rt.Woven(); span.Is(tandemServerOp) {
		span.End()
	}
}

// tandemServerFault says whether a code is the server's failure; the others are the caller's doing.
func tandemServerFault(code ErrorCode) bool {
	switch code {
	case Unknown, DeadlineExceeded, Unimplemented, Internal, Unavailable, DataLoss:
		return true
	}
	return !IsValidErrorCode(code)
}
