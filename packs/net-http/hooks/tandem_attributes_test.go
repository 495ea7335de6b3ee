package http

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"unsafe"

	tandem_rt "tandem/rt"
)

func TestTandemRouteOf(t *testing.T) {
	for pattern, want := range map[string]string{
		"/": "/", "/items/{id}": "/items/{id}", "GET /items/{id}": "/items/{id}", "POST example.com/a/{rest...}": "/a/{rest...}", "{$}": "{$}",
	} {
		if got := tandemRouteOf(pattern); got != want {
			t.Errorf("%q: %q", pattern, got)
		}
	}
}

func TestTandemTarget(t *testing.T) {
	for target, want := range map[string][2]string{
		"/a/b?c=d": {"/a/b", "c=d"}, "/a%20b": {"/a%20b", ""}, "/?": {"/", ""}, "http://host/x?y": {"/x", "y"}, "*": {"*", ""},
	} {
		req, err := ReadRequest(tandemReader("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Path, req.URL.RawQuery = strings.Clone(req.URL.Path), strings.Clone(req.URL.RawQuery)
		if path, query := tandemTarget(req); path != want[0] || query != want[1] {
			t.Errorf("%q: %q %q", target, path, query)
		}
	}
}

// A request's headers of another trace stay; those of our own are taken out, of a copy.
func TestTandemOutgoing(t *testing.T) {
	span := tandem_rt.Start(tandemClientOp, nil)
	defer span.End()
	plain := &Request{Header: Header{"A": {"b"}}}
	theirs := &Request{Header: Header{"Traceparent": {"00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"}}}
	ours := &Request{Header: Header{"Traceparent": {span.Traceparent()}, "Tracestate": {"a=b"}, "A": {"b"}}}
	if tandemOutgoing(plain) != plain || tandemOutgoing(theirs) != theirs {
		t.Error("copied without need")
	}
	got := tandemOutgoing(ours)
	if got == ours || len(got.Header) != 1 || len(ours.Header) != 3 {
		t.Errorf("%v from %v", got.Header, ours.Header)
	}
	var wire tandemWire
	wire.fill(&Transport{}, theirs)
	if wire.Heads() != 0 {
		t.Error("a second traceparent")
	}
	wire.fill(&Transport{}, plain)
	if name, value := wire.Header(wire.Heads()); name.Lower != "traceparent" || value != span.Traceparent() {
		t.Errorf("%s: %s", name.Lower, value)
	}
}

// What goes out is written as headers; one that the caller has written himself is not written again.
func TestTandemWire(t *testing.T) {
	var incoming tandem_rt.Incoming
	incoming.Catch("Traceparent", []string{"00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"})
	incoming.Catch("Tracestate", []string{"a=b", "c=d"})
	incoming.Catch("Baggage", []string{"user=alice", "bad member", "id=1"})
	span := tandem_rt.StartIncoming(tandemServerOp, &incoming)
	defer span.End()
	written := func(header Header) string {
		var connection tandemPersistConn
		var text strings.Builder
		connection.wire.fill(&Transport{}, &Request{Header: header})
		w := connection.carry(bufio.NewWriter(&text))
		tandemUncarry(&w).write()
		w.(*bufio.Writer).Flush()
		return text.String()
	}
	trace := "traceparent: " + span.Traceparent() + "\r\ntracestate: a=b,c=d\r\n"
	if got, want := written(Header{}), trace+"baggage: user=alice,id=1\r\n"; got != want {
		t.Errorf("%q instead of %q", got, want)
	}
	if got := written(Header{"Baggage": {"mine=1"}}); got != trace {
		t.Errorf("%q instead of %q", got, trace)
	}
	if got := written(Header{"Traceparent": {"theirs"}}); got != "" {
		t.Errorf("%q beside the caller's own", got)
	}
}

// A context that is kept beyond its request still has all that its children take over.
func TestTandemContextKeepsBaggage(t *testing.T) {
	for _, baggage := range []string{"", "user=alice"} {
		var incoming tandem_rt.Incoming
		incoming.Catch("Traceparent", []string{"00-0102030405060708090a0b0c0d0e0f10-1112131415161718-03"})
		incoming.Catch("Tracestate", []string{"a=b"})
		incoming.Catch("Baggage", []string{baggage})
		w := &new(tandemResponse).response
		w.req = &Request{ctx: context.Background()}
		span := tandem_rt.StartIncoming(tandemServerOp, &incoming)
		tandemBegun(w).carry(span)
		ctx, want := w.req.ctx, span.Traceparent()
		tandemBegun(w).release(span)
		span.End()
		tandem_rt.StartRemote(tandemServerOp, "", "").End() // in the same record
		kept := tandem_rt.FromContext(ctx)
		if kept.Traceparent() != want || kept.Tracestate() != "a=b" || kept.Baggage() != baggage {
			t.Errorf("%s %s %s", kept.Traceparent(), kept.Tracestate(), kept.Baggage())
		}
	}
}

func tandemReader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }

func tandemResponseFor(base context.Context) (*response, *tandem_rt.Span) {
	w := &new(tandemResponse).response
	w.req = &Request{ctx: base}
	span := tandem_rt.StartRemote(tandemServerOp, "", "")
	tandemBegun(w).carry(span)
	return w, span
}

// A request's context shows the request's own span for ever, whatever becomes of the record.
func TestTandemContextKeepsItsSpan(t *testing.T) {
	type key struct{}
	base, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "value"))
	w, span := tandemResponseFor(base)
	ctx := w.req.Context()
	trace, id := span.TraceID(), span.SpanID()
	if tandem_rt.FromContext(ctx) != span || ctx.Value(key{}) != "value" {
		t.Fatal("the context has lost something")
	}
	if count := testing.AllocsPerRun(100, func() { tandem_rt.FromContext(ctx) }); count != 0 {
		t.Errorf("looking the span up costs %v allocations", count)
	}
	derived, cancelDerived := context.WithCancel(ctx)
	defer cancelDerived()
	cancel()
	if derived.Err() == nil || ctx.Err() == nil || fmt.Sprint(ctx) != fmt.Sprint(base) {
		t.Error("not the base's cancellation or name")
	}
	tandemBegun(w).release(span)
	span.End()
	_, next := tandemResponseFor(context.Background())
	if next != span {
		t.Error("the record is not reused, so this test proves nothing")
	}
	kept := tandem_rt.FromContext(ctx)
	if kept == nil || kept == next || kept.TraceID() != trace || kept.SpanID() != id || !kept.Sampled() {
		t.Error("a context that was kept does not show its own request's span")
	}
	next.End()
}

type tandemSpanIDs struct {
	trace [16]byte
	span  [8]byte
}

// The same while other goroutines look at the moment when the request ends. Run with -race.
func TestTandemContextRace(t *testing.T) {
	contexts := make(chan context.Context, 8)
	wrong := make(chan string, 100)
	var readers sync.WaitGroup
	for reader := 0; reader < 4; reader++ {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for ctx := range contexts {
				want := ctx.Value("ids").(tandemSpanIDs)
				for look := 0; look < 20; look++ {
					if span := tandem_rt.FromContext(ctx); span.TraceID() != want.trace || span.SpanID() != want.span {
						wrong <- "another request's span"
					}
				}
			}
		}()
	}
	for request := 0; request < 3000; request++ {
		var ids tandemSpanIDs
		w, span := tandemResponseFor(context.Background())
		ids.trace, ids.span = span.TraceID(), span.SpanID()
		ctx := context.WithValue(w.req.Context(), "ids", ids)
		contexts <- ctx
		tandemBegun(w).release(span)
		span.End()
	}
	close(contexts)
	readers.Wait()
	if len(wrong) != 0 {
		t.Error(<-wrong)
	}
}

// A stream's context shows its own span for ever, and being one costs nothing.
func TestTandemStreamKeepsItsSpan(t *testing.T) {
	type key struct{}
	base := context.WithValue(context.Background(), key{}, "value")
	header := Header{"User-Agent": {"test"}}
	var stream *tandemStream
	begin := func() *Request {
		stream = new(tandemStream)
		req := &Request{ctx: base, Method: "GET", URL: new(url.URL), Header: header, ProtoMajor: 2}
		if !stream.start(req) {
			t.Fatal("no span")
		}
		return req
	}
	ctx := begin().Context()
	span := stream.span.Held()
	trace, id := span.TraceID(), span.SpanID()
	if tandem_rt.FromContext(ctx) != span || ctx.Value(key{}) != "value" || fmt.Sprint(ctx) != fmt.Sprint(base) {
		t.Error("the context has lost something")
	}
	stream.end(200, nil)
	begin()
	if stream.span.Held() != span {
		t.Error("the record is not reused, so this test proves nothing")
	}
	if kept := tandem_rt.FromContext(ctx); kept == span || kept.TraceID() != trace || kept.SpanID() != id || !kept.Sampled() {
		t.Error("a context that was kept does not show its own request's span")
	}
	if stream.failed("panic") != "panic" {
		t.Error("the panic is lost")
	}
	var reused tandemStream
	req := &Request{Method: "GET", URL: new(url.URL), Header: header, ProtoMajor: 2}
	if count := testing.AllocsPerRun(100, func() {
		req.ctx = base
		reused.start(req)
		reused.end(200, nil)
	}); count != 0 {
		t.Errorf("%v allocations", count)
	}
}

// The response must stay in its size class.
func TestTandemResponseSize(t *testing.T) {
	if size := unsafe.Sizeof(response{}); size > 256 {
		t.Errorf("a response has %d bytes", size)
	}
}
