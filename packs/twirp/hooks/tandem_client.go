package twirp

import (
	"context"
	"net/http"
	"strconv"

	tandem_rt "tandem/rt"
)

// This file makes the client's spans by hooks of Twirp's own, which generated code calls on the goroutine of who calls: from when
// the request is ready to when its answer was read. net/http's client is below.

var tandemClientOp = tandem_rt.NewOp("twirp.client", tandemScope, tandem_rt.KindClient, tandemName)

// The first of a client's hooks and the last: what the program's own hooks do is part of the call.
var (
	tandemCalls    = &ClientHooks{RequestPrepared: tandemPrepared}
	tandemReturned = &ClientHooks{ResponseReceived: tandemReceived, Error: tandemFailed}
	tandemWhole    = &ClientHooks{RequestPrepared: tandemPrepared, ResponseReceived: tandemReceived, Error: tandemFailed}
)

// tandemClient gives a client that is being made its hooks.
func tandemClient(opts *ClientOptions) {
	if opts == nil || opts.tandem {
		return
	}
	opts.tandem = true
	if opts.Hooks == nil {
		opts.Hooks = tandemWhole
	} else {
		opts.Hooks = ChainClientHooks(tandemCalls, opts.Hooks, tandemReturned)
	}
}

// tandemPrepared begins a call's span.
func tandemPrepared(ctx context.Context, request *http.Request) (context.Context, error) {
	span := tandem_rt.Start(tandemClientOp, tandem_rt.FromContext(ctx))
	if span == nil {
		return ctx, nil
	}
	var method tandemMethod
	method.read(ctx)
	method.describe(span)
	if to := request.URL; to != nil {
		span.Str(tandem_rt.KeyServerAddressDimension, to.Hostname())
		port := int64(80)
		if number := to.Port(); number != "" {
			port, _ = strconv.ParseInt(number, 10, 32)
		} else if to.Scheme == "https" {
			port = 443
		}
		span.Int(tandem_rt.KeyServerPortDimension, port)
	}
	return ctx, nil
}

// tandemReceived ends the span of a call that went well.
func tandemReceived(context.Context) {
	if span := tandem_rt.Woven(); span.Is(tandemClientOp) {
		span.End()
	}
}

// tandemFailed ends the span of a call that failed: for a client every code is an error. A call that never came to be sent has none.
func tandemFailed(_ context.Context, err Error) {
	span := tandem_rt.Woven()
	if !span.Is(tandemClientOp) {
		return
	}
	code := tandemCode(err)
	span.Str(tandem_rt.KeyRPCResponseStatusCode, code)
	span.SetError(code, err.Msg())
	span.End()
}
