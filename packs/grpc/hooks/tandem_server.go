package grpc

import (
	"context"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/internal/transport"
	tandem_rt "tandem/rt"
)

// This file makes the server's spans: each lives as long as handleStream, on whose goroutine it is current, and in the
// context that handlers get.

var tandemServer = tandem_rt.NewOp("grpc.server", "tandem/google.golang.org/grpc", tandem_rt.KindServer, tandemName)

// tandemServed is a call that is being served, and at once the context that its handler gets: it holds the server, as
// contextWithServer's does, and the call's span, in one allocation. A context may be kept longer than the call, but the
// span's record goes back when the call ends; so the context lends it out only as long as it can tell.
type tandemServed struct {
	context.Context
	server *Server
	span   tandem_rt.Holder
	ids    tandem_rt.IDs
}

// tandemServe begins the span of a call that came in.
func tandemServe(stream *transport.TandemStream, method string) *tandemServed {
	if !tandemServer.On() {
		return nil
	}
	var span *tandem_rt.Span
	if stream.Peer == nil && tandem_rt.Current() != nil {
		// Served by net/http, whose span continues the trace already.
		span = tandem_rt.StartServed(tandemServer, nil, method).Capture()
	} else {
		incoming := stream.Incoming()
		incoming.Path = method
		span = tandem_rt.StartIncoming(tandemServer, &incoming)
	}
	if span == nil {
		return nil
	}
	tandemDescribe(span)
	if span.Recording() {
		if host := stream.Header(":authority"); host != "" {
			tandemHost(span, host)
		}
		stream.Peer.Describe(span)
	}
	served := new(tandemServed)
	served.span.Hold(span)
	return served
}

// context stands in for contextWithServer.
func (c *tandemServed) context(ctx context.Context, server *Server) context.Context {
	if c == nil {
		return contextWithServer(ctx, server)
	}
	c.Context, c.server = ctx, server
	return c
}

// Value answers for the span and the server.
func (c *tandemServed) Value(key any) any {
	if key == tandem_rt.ContextKey {
		return c.span.Show(&c.ids)
	}
	if _, ok := key.(serverKey); ok {
		return c.server
	}
	return c.Context.Value(key)
}

// String keeps fmt from looking into the span.
func (c *tandemServed) String() string { return "grpc.tandemServed" }

// tandemHost writes what the caller calls this server.
func tandemHost(span *tandem_rt.Span, authority string) {
	for i := len(authority) - 1; i > 0; i-- {
		if c := authority[i]; c == ':' {
			if port, err := strconv.ParseUint(authority[i+1:], 10, 16); err == nil {
				span.Int(tandem_rt.KeyServerPort, int64(port))
				authority = authority[:i]
			}
			break
		} else if c < '0' || c > '9' {
			break
		}
	}
	if len(authority) > 1 && authority[0] == '[' && authority[len(authority)-1] == ']' {
		authority = authority[1 : len(authority)-1]
	}
	span.Str(tandem_rt.KeyServerAddress, authority)
}

// known is called when the method turned out to be one of the server's.
func (c *tandemServed) known(stream *transport.TandemStream, method string) {
	if c != nil {
		stream.Known = true
		c.span.Held().Str(tandem_rt.KeyRPCMethod, method)
	}
}

// end ends the span when handleStream returns. ctx is the stream's.
func (c *tandemServed) end(stream *transport.TandemStream, method string, ctx context.Context) {
	if c == nil {
		return
	}
	span := c.span.Held()
	if !stream.Known {
		// Anybody can ask for any method: its name is no label, and no name of a span.
		span.SetName("grpc")
		span.Str(tandem_rt.KeyRPCMethod, "_OTHER")
		span.Str(tandem_rt.KeyRPCMethodOriginal, tandemMethod(method))
	}
	code := tandemContextCode(ctx)
	if sent, answered := stream.Answered(); answered {
		code = codes.Code(sent)
	}
	name := tandemCode(code)
	span.Str(tandem_rt.KeyRPCResponseStatusCode, name)
	if tandemServerFault(code) {
		span.SetError(name, "")
	}
	c.span.Release(span, &c.ids)
	span.End()
}
