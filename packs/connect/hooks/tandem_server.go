package connect

import (
	"context"

	tandem_rt "tandem/rt"
)

// This file makes the server's spans, each as long as the procedure's implementation, on whose goroutine it is current. It is
// a child of the span of the HTTP request, which has continued the caller's trace.

var tandemServerOp = tandem_rt.NewOp("connect.server", "tandem/connectrpc.com/connect", tandem_rt.KindServer, tandemName)

// tandemServe calls a procedure's implementation.
func tandemServe(h *Handler, ctx context.Context, conn handlerConnCloser) (err error) {
	span := tandem_rt.StartServed(tandemServerOp, tandem_rt.FromContext(ctx), h.spec.Procedure)
	if span == nil {
		return h.implementation(ctx, conn)
	}
	protocol := conn.Peer().Protocol
	tandemDescribe(span, protocol, h.spec.Procedure)
	returned := false
	defer func() {
		if !returned { // it panicked, and net/http's span says how
			span.SetError("panic", "")
		} else if code := tandemStatus(span, protocol, err); code != "" && tandemServerFault(CodeOf(err)) {
			span.SetError(code, "")
		}
		span.End()
	}()
	err = h.implementation(ctx, conn)
	returned = true
	return err
}
