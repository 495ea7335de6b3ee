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

// tandemServe begins the span of a call that came in.
func tandemServe(stream *transport.TandemStream, method string) *tandem_rt.Span {
	if !tandemServer.On() {
		return nil
	}
	var span *tandem_rt.Span
	if stream.Peer == nil && tandem_rt.Current() != nil {
		span = tandem_rt.Start(tandemServer, nil) // served by net/http, whose span continues the trace already
	} else {
		span = tandem_rt.StartRemote(tandemServer, stream.Header("traceparent"), stream.Header("tracestate"))
	}
	tandemDescribe(span)
	if span.Recording() {
		if host := stream.Header(":authority"); host != "" {
			tandemHost(span, host)
		}
		stream.Peer.Describe(span)
	}
	return span
}

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

// tandemKnown is called when the method turned out to be one of the server's.
func tandemKnown(span *tandem_rt.Span, stream *transport.TandemStream, method string) {
	if span != nil {
		stream.Known = true
		span.Str(tandem_rt.KeyRPCMethod, method)
	}
}

// tandemServed ends the span when handleStream returns.
func tandemServed(span *tandem_rt.Span, stream *transport.TandemStream, method string, ctx context.Context) {
	if span == nil {
		return
	}
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
	span.End()
}

// tandemServerContext is a context that holds the server, as contextWithServer's does, and the call's span: one
// allocation for both.
type tandemServerContext struct {
	context.Context
	server *Server
	span   *tandem_rt.Span
}

// tandemContext stands in for contextWithServer.
func tandemContext(ctx context.Context, server *Server, span *tandem_rt.Span) context.Context {
	if span == nil {
		return contextWithServer(ctx, server)
	}
	return &tandemServerContext{ctx, server, span.Capture()}
}

func (c *tandemServerContext) Value(key any) any {
	if key == tandem_rt.ContextKey {
		return c.span
	}
	if _, ok := key.(serverKey); ok {
		return c.server
	}
	return c.Context.Value(key)
}

// String keeps fmt from looking into the span.
func (c *tandemServerContext) String() string { return "grpc.tandemServerContext" }
