package grpc

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/internal/transport"
	"google.golang.org/grpc/status"
	"tandem/db"
	tandem_rt "tandem/rt"
)

// This file makes the client's spans: Invoke's begins and ends with it and is current in between; a stream's begins with
// the stream and ends where the stream finishes, on whatever goroutine that is.

var (
	tandemUnary     = tandem_rt.NewOp("grpc.client.unary", "tandem/google.golang.org/grpc", tandem_rt.KindClient, tandemName)
	tandemStreaming = tandem_rt.NewOp("grpc.client.stream", "tandem/google.golang.org/grpc", tandem_rt.KindClient, tandemName)
)

// tandemInvoke begins the span of a unary call. One that serves the operation of a database's client has none: the trace goes on
// with that operation's.
func tandemInvoke(cc *ClientConn, ctx context.Context, method string) *tandem_rt.Span {
	if !tandemUnary.On() || db.Inside() {
		return nil
	}
	span := tandem_rt.Start(tandemUnary, tandem_rt.FromContext(ctx))
	tandemCalls(span, cc, method)
	return span
}

// tandemInvoked ends the span of a unary call that returns *result.
func tandemInvoked(span *tandem_rt.Span, result *error) {
	if span != nil {
		tandemReturned(span, *result)
	}
}

func tandemCalls(span *tandem_rt.Span, cc *ClientConn, method string) {
	tandemDescribe(span)
	span.Str(tandem_rt.KeyRPCMethod, tandemMethod(method))
	cc.tandem.describe(span, cc.target)
}

// tandemReturned ends a client's span: for a client every code but OK is an error.
func tandemReturned(span *tandem_rt.Span, err error) {
	code := codes.OK
	if err != nil {
		code = status.Code(err)
	}
	name := tandemCode(code)
	span.Str(tandem_rt.KeyRPCResponseStatusCode, name)
	if code != codes.OK {
		span.SetError(name, status.Convert(err).Message())
	}
	span.End()
}

// tandemStream is a stream and its span. Several may try to end it (who could not create the stream to its end, the
// stream itself, who watches its context); the first does.
type tandemStream struct {
	span  *tandem_rt.Span
	ended atomic.Bool
}

// tandemOpen begins the span of a stream; unary calls have theirs already.
func tandemOpen(cc *ClientConn, ctx context.Context, desc *StreamDesc, method string) *tandemStream {
	if desc == unaryStreamDesc || !tandemStreaming.On() {
		return nil
	}
	span := tandem_rt.StartDetached(tandemStreaming, tandem_rt.FromContext(ctx))
	if span == nil {
		return nil
	}
	tandemCalls(span, cc, method)
	return &tandemStream{span: span}
}

// made is called when newClientStream returns. While it ran the stream's span was current.
func (s *tandemStream) made(previous *tandem_rt.Span, result *error) {
	tandem_rt.Restore(previous)
	if *result != nil {
		s.end(*result)
	}
}

// end ends the stream's span, once.
func (s *tandemStream) end(err error) {
	if s != nil && s.ended.CompareAndSwap(false, true) {
		tandemReturned(s.span, err)
	}
}

// tandemCallInfo is what a call's callInfo knows of its span. It gets there by options, past interceptors and whatever
// else lies between; the span of a unary call without interceptors is simply the current one.
type tandemCallInfo struct {
	stream *tandemStream
	span   *tandem_rt.Span      // the call's own, of a stream or unary; nil: not traced
	call   transport.TandemCall // what the transport is told
}

// tandemOption hands over a stream.
type tandemOption struct{ stream *tandemStream }

func (o tandemOption) before(c *callInfo) error {
	if o.stream != nil {
		c.tandem.stream, c.tandem.span = o.stream, o.stream.span
	}
	return nil
}

func (o tandemOption) after(*callInfo, *csAttempt) {}

// tandemUnaryOption hands over the span of a unary call.
type tandemUnaryOption struct{ span *tandem_rt.Span }

func (o tandemUnaryOption) before(c *callInfo) error {
	c.tandem.span = o.span
	return nil
}

func (o tandemUnaryOption) after(*callInfo, *csAttempt) {}

// tandemWith adds the call's span to its options, for interceptors to pass on.
func tandemWith(opts []CallOption, span *tandem_rt.Span) []CallOption {
	if span == nil {
		return opts
	}
	return append(opts[:len(opts):len(opts)], tandemUnaryOption{span})
}

// tandemSend tells the transport what goes out with the call: its own trace, or the caller's when the call is not traced.
func tandemSend(ctx context.Context, cs *clientStream) {
	info := &cs.callInfo.tandem
	if info.span == nil && cs.desc == unaryStreamDesc && tandemUnary.On() {
		if span := tandem_rt.Current(); span != nil && span.Home() {
			info.span = span
		}
	}
	cs.callHdr.Tandem = &info.call
	if info.call.Span = info.span; info.call.Span != nil {
		return
	}
	if info.call.Span = tandem_rt.FromContext(ctx); info.call.Span == nil {
		info.call.Span = tandem_rt.Current()
	}
}

// tandemFinished is called when a call's stream has finished, once.
func tandemFinished(cs *clientStream, err error) {
	info := &cs.callInfo.tandem
	info.call.Peer.Describe(info.span)
	info.stream.end(err)
}

// tandemTarget is a ClientConn's target as spans show it, found out at its first call.
type tandemTarget struct {
	known atomic.Pointer[tandemAddress]
}

type tandemAddress struct {
	address string
	port    int64
}

func (t *tandemTarget) describe(span *tandem_rt.Span, target string) {
	known := t.known.Load()
	if known == nil {
		known = tandemParse(target)
		t.known.Store(known)
	}
	span.Str(tandem_rt.KeyServerAddressDimension, known.address)
	if known.port != 0 {
		span.Int(tandem_rt.KeyServerPortDimension, known.port)
	}
}

// tandemParse takes apart a target: [dns|passthrough:[//authority]/]host[:port], unix:path, unix-abstract:name. Any other
// scheme's target stands for itself.
func tandemParse(target string) *tandemAddress {
	scheme, endpoint, found := strings.Cut(target, ":")
	switch {
	case found && (scheme == "dns" || scheme == "passthrough"):
		if rest := strings.TrimPrefix(endpoint, "//"); rest != endpoint {
			_, endpoint, _ = strings.Cut(rest, "/")
		}
		endpoint = strings.TrimPrefix(endpoint, "/")
	case found && (scheme == "unix" || scheme == "unix-abstract"):
		return &tandemAddress{address: strings.TrimPrefix(endpoint, "//")}
	case scheme == "etcd-endpoints":
		// Before what the client was given there is a pointer, another one for each client.
		_, endpoint, _ = strings.Cut(strings.TrimPrefix(endpoint, "//"), "/")
		endpoint = strings.TrimSuffix(strings.TrimPrefix(endpoint, "#initially=["), "]")
		target = endpoint
		if _, rest, found := strings.Cut(endpoint, "://"); found && !strings.Contains(rest, "://") {
			endpoint = rest
		}
	case strings.Contains(target, "://"):
		return &tandemAddress{address: target}
	default:
		endpoint = target
	}
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return &tandemAddress{address: strings.Trim(endpoint, "[]")}
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return &tandemAddress{address: target} // a list of addresses, for instance
	}
	return &tandemAddress{address: host, port: int64(number)}
}
