package http

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"unsafe"

	tandem_http "tandem/http"
	tandem_rt "tandem/rt"
)

// The client half of Tandem's net/http pack: one span for each time a request is sent. Redirects are requests of their
// own; a request that the Transport sends again over another connection has a span for each attempt. A span ends when the
// response's headers are there.
//
// The trace travels in headers that are added where the request is written to the wire, so that the caller's Request is
// never changed. Where the caller has said himself which trace the request belongs to, that stays, unless it is of our own trace: then the span
// that sends the request is the closer parent (reverse proxies copy the headers of the request they received).

var tandemClientOp = tandem_rt.NewOp("net/http.client", "tandem/net/http", tandem_rt.KindClient, "{http.request.method}")

// tandemCall is what a roundTrip carries.
type tandemCall struct {
	span    *tandem_rt.Span
	parent  *tandem_rt.Span
	resends int64
}

// The Transports that only show what would be sent. There is hardly ever one.
var tandemDry struct {
	count int32
	mu    sync.Mutex
	are   map[*Transport]bool
}

// tandemDump says of a Transport that it only shows what would be sent, as long as it does; net/http/httputil calls it
// (tandem_dump.go).
//
//go:linkname tandemDump net/http/httputil.tandemDump
func tandemDump(t *Transport, begins bool) {
	tandemDry.mu.Lock()
	defer tandemDry.mu.Unlock()
	if begins {
		if tandemDry.are == nil {
			tandemDry.are = map[*Transport]bool{}
		}
		tandemDry.are[t] = true
	} else {
		delete(tandemDry.are, t)
	}
	// N.B. A function: the export data name each method that is called inline.
	atomic.StoreInt32(&tandemDry.count, int32(len(tandemDry.are)))
}

func tandemIsDry(t *Transport) bool {
	if atomic.LoadInt32(&tandemDry.count) == 0 {
		return false
	}
	tandemDry.mu.Lock()
	defer tandemDry.mu.Unlock()
	return tandemDry.are[t]
}

// tandemClientStart begins the span of the first attempt.
func tandemClientStart(t *Transport, req *Request) (call tandemCall) {
	if tandemIsDry(t) || req == nil || req.URL == nil || (req.URL.Scheme != "http" && req.URL.Scheme != "https") || !tandemClientOp.On() {
		return call
	}
	if req.ctx != nil {
		call.parent = tandem_rt.FromContext(req.ctx)
	}
	call.begin(req)
	return call
}

func (call *tandemCall) begin(req *Request) {
	call.span = tandem_rt.Start(tandemClientOp, call.parent)
	if call.span == nil {
		return
	}
	tandem_http.Method(call.span, req.Method)
	host, port := tandem_http.SplitHost(req.URL.Host)
	if port == 0 && req.URL.Scheme == "https" {
		port = 443
	} else if port == 0 {
		port = 80
	}
	call.span.Str(tandem_rt.KeyServerAddressDimension, host)
	call.span.Int(tandem_rt.KeyServerPortDimension, port)
	if !call.span.Recording() {
		return
	}
	tandemFullURL(call.span, req.URL, req.URL.Host)
	if len(tandem_http.ClientRequest) != 0 {
		tandem_http.ClientRequest.Tell(call.span, req.Header)
	}
	if call.resends != 0 {
		call.span.Int(tandem_rt.KeyHTTPRequestResendCount, call.resends)
	}
}

// end is deferred: the results are those of roundTrip.
func (call *tandemCall) end(resp **Response, err *error) {
	span := call.span
	if span == nil {
		return
	}
	if *err == context.Canceled { // whose type says nothing
		span.SetError("context.Canceled", context.Canceled.Error())
		span.End()
		return
	}
	if *err != nil {
		span.EndError(*err)
		return
	}
	if *resp == nil {
		span.EndPanic(nil) // roundTrip did not return
		return
	}
	status := (*resp).StatusCode
	span.Int(tandem_rt.KeyHTTPResponseStatusCode, int64(status))
	if version := tandemVersion((*resp).ProtoMajor, (*resp).ProtoMinor); version != "" {
		span.Str(tandem_rt.KeyNetworkProtocolVersion, version)
	}
	if len(tandem_http.ClientResponse) != 0 {
		tandem_http.ClientResponse.Tell(span, (*resp).Header)
	}
	if status >= 400 {
		span.SetError(tandem_http.StatusText(status), "")
	}
	span.End()
}

// retry ends the span of an attempt that failed and begins the next one's.
func (call *tandemCall) retry(req *Request, err error) {
	if _, unsent := err.(interface{ IsHTTP2NoCachedConnError() }); call.span == nil || unsent {
		return
	}
	call.span.EndError(err)
	call.resends++
	call.begin(req)
}

func tandemVersion(major, minor int) string {
	switch {
	case major == 2:
		return "2"
	case major == 1 && minor == 1:
		return "1.1"
	case major == 1:
		return "1.0"
	}
	return ""
}

// tandemOutgoing returns the request as it is sent: without the headers of our own trace, which are about to be written
// anew. Only then is it a copy.
func tandemOutgoing(req *Request) *Request {
	if !tandemHasParent(req.Header) {
		return req
	}
	var theirs tandem_rt.Incoming
	for _, header := range tandem_rt.Carriers() {
		theirs.Catch(header.Canonical, req.Header[header.Canonical])
	}
	if !theirs.Continues(tandem_rt.Current()) {
		return req
	}
	outgoing := new(Request)
	*outgoing = *req
	outgoing.Header = req.Header.Clone()
	for _, header := range tandem_rt.Carriers() {
		if header.Lower != "baggage" { // what that says is the program's
			delete(outgoing.Header, header.Canonical)
		}
	}
	return outgoing
}

// tandemHasParent says whether headers name the span that a request belongs to.
func tandemHasParent(header Header) bool {
	for _, parent := range tandem_rt.Parents() {
		if len(header[parent.Canonical]) != 0 {
			return true
		}
	}
	return false
}

// tandemWire is what a request takes from the goroutine that has the span to the one that writes.
type tandemWire struct {
	tandem_rt.Outgoing
	body *tandem_rt.Span // whose body does work of its own when it is read; nil: it lies in memory
}

// fill takes the context of the current span, unless the caller has his own.
func (wire *tandemWire) fill(t *Transport, req *Request) {
	if wire.Heads() != 0 { // those of the request before
		wire.Outgoing = tandem_rt.Outgoing{}
	}
	span := tandem_rt.Current()
	if span == nil || tandemIsDry(t) {
		return
	}
	if req.Body != nil && req.Body != NoBody && req.GetBody == nil {
		wire.body = span.Capture()
	}
	if tandemHasParent(req.Header) {
		return
	}
	tandemFill(&wire.Outgoing, span, req.ctx, req.Header)
}

// tandemFill takes a span's context, without the headers that the caller has written himself.
func tandemFill(out *tandem_rt.Outgoing, span *tandem_rt.Span, ctx context.Context, header Header) {
	if ctx == nil { // N.B. Not a nil interface of another type.
		out.Fill(span, nil)
	} else {
		out.Fill(span, ctx)
	}
	for heads := out.Heads(); heads != 0; heads &= heads - 1 {
		if name, _ := out.Header(heads); len(header[name.Canonical]) != 0 {
			out.Without(name.Lower)
		}
	}
}

// tandemCarrier hands the headers to Request.write, which knows nothing of connections.
type tandemCarrier struct {
	writer *bufio.Writer // N.B. Not embedded: the export data name the methods that its wrappers call inline.
	wire   *tandemWire
}

// Write is there for the type: Request.write takes the writer out first.
func (c *tandemCarrier) Write(text []byte) (int, error) { return c.writer.Write(text) }

// tandemPersistConn is a persistConn and, behind it, what the request takes with it that is being sent.
type tandemPersistConn struct {
	persistConn persistConn
	wire        tandemWire
	carrier     tandemCarrier
	connection  tandem_rt.Connection // which the kernel half knows by its descriptor
}

// tandemBehind is what pc, which dialConn made, begins: only such connections have requests written to them.
func tandemBehind(pc *persistConn) *tandemPersistConn {
	return (*tandemPersistConn)(unsafe.Pointer(pc))
}

// named is the connection, for the span that waits for it while its own goroutines read and write.
func (pc *tandemPersistConn) named() *tandem_rt.Connection {
	if !pc.connection.Named() {
		pc.connection.Name(tandemDescriptor(pc.persistConn.conn))
	}
	return &pc.connection
}

// tandemDescriptor is the descriptor of a TCP connection, or -1.
func tandemDescriptor(conn net.Conn) (descriptor int) {
	descriptor = -1
	if secure, is := conn.(*tls.Conn); is {
		conn = secure.NetConn()
	}
	if plain, is := conn.(*net.TCPConn); is {
		if raw, err := plain.SyscallConn(); err == nil {
			raw.Control(func(number uintptr) { descriptor = int(number) })
		}
	}
	return descriptor
}

// carry is what writeLoop writes to. Its goroutine belongs to no request, but reads the request's body.
func (pc *tandemPersistConn) carry(w *bufio.Writer) io.Writer {
	if pc.wire.body != nil {
		tandem_rt.Resume(pc.wire.body)
	}
	if pc.wire.Heads() == 0 {
		return w
	}
	pc.carrier = tandemCarrier{w, &pc.wire}
	return &pc.carrier
}

// written is called when the request is written.
func (wire *tandemWire) written() {
	if wire.body != nil {
		wire.body = nil
		tandem_rt.Restore(nil)
	}
}

// tandemUncarry gives Request.write its writer back, and the headers to add.
func tandemUncarry(w *io.Writer) (carried tandemCarrier) {
	if carrier, ok := (*w).(*tandemCarrier); ok {
		carried = *carrier
		carrier.wire = nil
		*w = carried.writer
	}
	return carried
}

// write adds the headers. An error stays in the writer, which returns it from the next write.
func (c tandemCarrier) write() {
	if c.wire == nil {
		return
	}
	for heads := c.wire.Heads(); heads != 0; heads &= heads - 1 {
		name, value := c.wire.Header(heads)
		c.writer.WriteString(name.Lower)
		c.writer.WriteString(": ")
		c.writer.WriteString(value)
		c.writer.WriteString("\r\n")
	}
}
