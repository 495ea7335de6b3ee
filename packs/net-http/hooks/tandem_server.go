package http

import (
	"strings"
	"unsafe"

	tandem_http "tandem/http"
	tandem_rt "tandem/rt"
)

// The server half of Tandem's net/http pack: one span a request, from the first line read to the last byte written.
//
// One goroutine serves an HTTP/1 connection, so what belongs to the running request is kept behind the connection. The
// handler's ResponseWriter is not wrapped: the status is read from the response when it is done.

var tandemServerOp = tandem_rt.NewOp("net/http.server", "tandem/net/http", tandem_rt.KindServer,
	"{http.request.method} {http.route}|{http.request.method}")

// tandemConn is a conn and, behind it, what belongs to the request that it serves, and goes from one request to the next.
type tandemConn struct {
	conn    conn
	span    *tandem_rt.Span
	headers tandemHeaders
	peers   tandem_rt.Fixed // attributes that hardly change on a connection, for this Host and minor version:
	host    string
	minor   int
}

// tandemNewConn is the same connection, with room behind it. newConn itself is inlined into Serve, its conn never on the heap.
func tandemNewConn(c *conn) *conn {
	return &(&tandemConn{conn: conn{server: c.server, rwc: c.rwc}}).conn
}

// tandemOf is what c, which tandemNewConn made, begins.
func tandemOf(c *conn) *tandemConn { return (*tandemConn)(unsafe.Pointer(c)) }

// tandemHeaders are the request headers that a span needs.
type tandemHeaders struct {
	tandem_rt.Incoming
	userAgent string
}

// catch looks at one header of the request.
func (c *tandemConn) catch(key string, values []string) {
	if key == "User-Agent" && len(values) != 0 {
		c.headers.userAgent = values[0]
	} else if tandem_rt.MayCarry(key) {
		c.headers.Catch(key, values)
	}
}

// tandemServerStart begins the span of the request that c is about to hand to the handler.
func tandemServerStart(c *conn, w *response) {
	state := tandemOf(c)
	state.headers.Path = w.req.URL.Path
	span := tandem_rt.StartIncoming(tandemServerOp, &state.headers.Incoming)
	userAgent := state.headers.userAgent
	state.headers = tandemHeaders{}
	if span == nil {
		return
	}
	state.span = span
	tandemBegun(w).carry(span)
	tandem_http.Method(span, w.req.Method)
	span.Str(tandem_rt.KeyURLSchemeDimension, tandemScheme(w.req))
	if span.Recording() {
		state.describe(span, w.req)
		tandemRequest(span, w.req, userAgent)
	}
}

// describe sets what hardly changes on a connection.
func (c *tandemConn) describe(span *tandem_rt.Span, req *Request) {
	if c.peers.Empty() || c.host != req.Host || c.minor != req.ProtoMinor {
		c.peers.Clear()
		c.host, c.minor = req.Host, req.ProtoMinor
		version := "1.1"
		if req.ProtoMinor == 0 {
			version = "1.0"
		}
		if !tandemFixPeers(&c.peers, req, version) { // an endless Host
			c.peers.Clear()
			tandemPeers(span, req, version)
			return
		}
	}
	span.Fixed(&c.peers)
}

// tandemServerEnd ends the span of a request that was answered.
func tandemServerEnd(c *conn, w *response) {
	state := tandemOf(c)
	span := state.span
	if span == nil {
		return
	}
	state.span = nil
	tandem_http.ServerStatus(span, w.status)
	tandemAnswered(span, tandemSentHeader(w))
	tandemBegun(w).release(span)
	span.End()
}

// tandemSentHeader is the header as the handler had it when it was sent.
func tandemSentHeader(w *response) Header {
	if w.cw.header != nil {
		return w.cw.header
	}
	return w.handlerHeader
}

// tandemServerHijacked ends the span of a request whose connection the handler has taken over. What became of it only
// the handler knows.
func tandemServerHijacked(c *conn, w *response) {
	state := tandemOf(c)
	span := state.span
	if span == nil {
		return
	}
	state.span = nil
	if w.wroteHeader {
		tandem_http.ServerStatus(span, w.status)
		tandemAnswered(span, tandemSentHeader(w))
	}
	tandemBegun(w).release(span)
	span.End()
}

// tandemServerPanic ends the span of a request whose handler panicked or called runtime.Goexit; value is what recover
// gave. There is no status: no answer may have been sent.
func tandemServerPanic(c *conn, value any) any {
	state := tandemOf(c)
	if span := state.span; span != nil {
		state.span = nil
		if w := c.curReq.Load(); w != nil {
			tandemBegun(w).release(span)
		}
		span.EndPanic(value)
	}
	return value
}

// tandemRoute gives the running request's span the route that a multiplexer has matched. The innermost one wins.
func tandemRoute(pattern string) {
	if pattern == "" {
		return
	}
	if span := tandem_rt.LocalRoot(tandem_rt.KindServer); span != nil {
		span.Replace(tandem_rt.KeyHTTPRoute, tandemRouteOf(pattern))
	}
}

// tandemRouteOf is a pattern's path: "GET example.com/items/{id}" gives "/items/{id}".
func tandemRouteOf(pattern string) string {
	if slash := strings.IndexByte(pattern, '/'); slash >= 0 {
		return pattern[slash:]
	}
	return pattern
}
