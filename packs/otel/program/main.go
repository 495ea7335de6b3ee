// The OpenTelemetry API without an SDK, in all ways that have to be told apart. The test knows what each must leave.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

var tracer = otel.Tracer("program", trace.WithInstrumentationVersion("1.2.3"), trace.WithSchemaURL("https://example.com/schema/1"))

func main() {
	contents()
	ends()
	contexts()
	handlers()
	limits()
	if os.Getenv("LOAD") != "" {
		load()
	}
}

// expect ends the program where the API itself does not say what it must.
func expect(is bool, what string) {
	if !is {
		panic(what)
	}
}

// contents sets everything that a span can have.
func contents() {
	ctx, span := tracer.Start(context.Background(), "contents", trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.Bool("bool", true), attribute.Int("int", -7), attribute.Float64("float", 0.5), attribute.String("string", "text"),
		attribute.BoolSlice("bools", []bool{true, false}), attribute.IntSlice("ints", []int{1, -2}),
		attribute.Float64Slice("floats", []float64{1.5}), attribute.StringSlice("strings", []string{"a", ""}),
		attribute.StringSlice("none", nil), attribute.String("replaced", "first"), attribute.String("", "has no key"),
		attribute.String("http.request.method", "PUT"), attribute.StringSlice("http.request.header.accept", []string{"x"})),
		trace.WithLinks(trace.Link{SpanContext: told(7, 7), Attributes: []attribute.KeyValue{attribute.String("why", "because")}}))
	expect(span.IsRecording() && span.SpanContext().IsValid() && span.SpanContext().IsSampled() && !span.SpanContext().IsRemote(), "a recording span")
	expect(trace.SpanFromContext(ctx) == span && trace.SpanContextFromContext(ctx).Equal(span.SpanContext()), "the context has it")
	expect(span.TracerProvider() == otel.GetTracerProvider(), "the global provider")
	span.SetAttributes(attribute.String("replaced", "second"), attribute.String("replaced", "third"))
	span.SetAttributes(attribute.Int("replaced", 4), attribute.String("http.request.method", "POST"), attribute.String("not utf-8", "a\xff"))
	span.AddEvent("event", trace.WithAttributes(attribute.Int("n", 1), attribute.IntSlice("list", []int{2})))
	span.AddEvent("earlier", trace.WithTimestamp(time.Unix(1_700_000_000, 5)))
	span.RecordError(fmt.Errorf("wrapped: %w", errors.New("cause")), trace.WithAttributes(attribute.String("more", "x")))
	span.RecordError(nil)
	span.RecordError(&failure{}, trace.WithStackTrace(true))
	span.AddLink(trace.Link{SpanContext: told(8, 8)})
	span.SetStatus(codes.Error, "first")
	span.SetStatus(codes.Error, "second")
	span.SetName("contents, renamed")
	span.End()
	span.End()
	expect(!span.IsRecording() && span.SpanContext().IsValid(), "it has ended")
	span.SetName("too late")
	span.SetAttributes(attribute.String("too", "late"))
	span.AddEvent("too late")

	_, span = tracer.Start(context.Background(), "fine", trace.WithSpanKind(trace.SpanKind(99)))
	span.SetStatus(codes.Ok, "is not kept")
	span.SetStatus(codes.Error, "neither")
	span.SetStatus(codes.Unset, "")
	span.End()

	_, span = tracer.Start(context.Background(), "at a time", trace.WithTimestamp(time.Unix(1_700_000_000, 123_456_789)))
	span.End(trace.WithTimestamp(time.Unix(1_700_000_001, 123_456_789)))

	_, span = otel.GetTracerProvider().Tracer("another").Start(context.Background(), "of another tracer")
	span.End()
}

type failure struct{}

func (*failure) Error() string { return "failed" }

func told(trace8, span8 byte) trace.SpanContext {
	state, _ := trace.ParseTraceState("vendor=1")
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0: trace8, 15: 1}, SpanID: trace.SpanID{0: span8, 7: 1}, TraceFlags: trace.FlagsSampled, TraceState: state,
	})
}

// ends: in another order than usual, on another goroutine, never.
func ends() {
	ctx, outer := tracer.Start(context.Background(), "outer")
	_, first := tracer.Start(ctx, "first of siblings")
	_, second := tracer.Start(ctx, "second of siblings")
	first.End()
	second.End()
	inner, middle := tracer.Start(ctx, "ends after its parent")
	outer.End()
	_, last := tracer.Start(inner, "below it")
	last.End()
	middle.End()

	_, alone := tracer.Start(context.Background(), "another root")
	alone.End()

	ctx, span := tracer.Start(context.Background(), "ended elsewhere")
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		span.SetAttributes(attribute.Bool("elsewhere", true))
		span.End()
		_, late := tracer.Start(ctx, "its child, afterwards")
		late.End()
	}()
	done.Wait()
	_, after := tracer.Start(context.Background(), "a root after it")
	after.End()

	work := make(chan context.Context)
	results := make(chan bool)
	go func() {
		for ctx := range work {
			_, span := tracer.Start(ctx, "worker")
			span.End()
			results <- true
		}
	}()
	for _, name := range []string{"job 1", "job 2"} {
		ctx, span := tracer.Start(context.Background(), name)
		work <- ctx
		<-results
		span.End()
	}
	close(work)
}

// contexts: what they say goes.
func contexts() {
	remote := trace.ContextWithRemoteSpanContext(context.Background(), told(1, 2))
	expect(trace.SpanContextFromContext(remote).IsRemote(), "a remote span")
	ctx, span := tracer.Start(remote, "of a remote parent")
	expect(span.SpanContext().TraceID() == told(1, 2).TraceID() && span.SpanContext().TraceState().String() == "vendor=1", "its trace")
	_, root := tracer.Start(ctx, "a root on purpose", trace.WithNewRoot(), trace.WithLinks(trace.LinkFromContext(ctx)))
	root.End()
	_, root = tracer.Start(trace.ContextWithSpanContext(ctx, trace.SpanContext{}), "a root of an emptied context")
	root.End()
	_, child := tracer.Start(trace.ContextWithSpanContext(context.Background(), span.SpanContext()), "of ids alone")
	child.End()
	span.End()

	unsampled := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{5}, SpanID: trace.SpanID{5}})
	_, span = tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), unsampled), "not sampled")
	expect(!span.IsRecording() && span.SpanContext().IsValid() && !span.SpanContext().IsSampled(), "not sampled")
	span.SetAttributes(attribute.String("lost", "yes"))
	span.End()

	carrier := propagation.MapCarrier{}
	ctx, span = tracer.Start(context.Background(), "sender", trace.WithSpanKind(trace.SpanKindClient))
	otel.GetTextMapPropagator().Inject(ctx, carrier)
	received := otel.GetTextMapPropagator().Extract(context.Background(), carrier)
	_, receiver := tracer.Start(received, "receiver", trace.WithSpanKind(trace.SpanKindConsumer))
	receiver.End()
	span.End()
	expect(trace.SpanFromContext(context.Background()).SpanContext().Equal(trace.SpanContext{}), "nothing around")
}

// handlers: by hand inside of woven spans, and woven spans inside of those by hand.
func handlers() {
	var server *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("/leaf", func(w http.ResponseWriter, r *http.Request) {})
	mux.HandleFunc("/found", func(w http.ResponseWriter, r *http.Request) {
		span := trace.SpanFromContext(r.Context())
		expect(span.IsRecording() && span.SpanContext().IsValid(), "the server's span")
		span.SetAttributes(attribute.String("user.id", "u1"), attribute.String("http.route", "/by/hand"), attribute.IntSlice("sizes", []int{1, 2}))
		span.AddEvent("seen")
		span.RecordError(errors.New("by hand"))
		span.SetStatus(codes.Error, "by hand")
		span.End() // which is not the program's to end
		done := make(chan bool)
		go func() {
			trace.SpanFromContext(r.Context()).SetAttributes(attribute.Bool("from.goroutine", true))
			close(done)
		}()
		<-done
		_, child := span.TracerProvider().Tracer("of its provider").Start(r.Context(), "of the span's provider")
		child.End()
	})
	mux.HandleFunc("/nested", func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), "by hand")
		defer span.End()
		request, _ := http.NewRequestWithContext(ctx, "GET", server.URL+"/leaf?with=context", nil)
		get(request)
		request, _ = http.NewRequest("GET", server.URL+"/leaf?without=context", nil)
		get(request)
		request, _ = http.NewRequestWithContext(r.Context(), "GET", server.URL+"/leaf?with=outer", nil)
		get(request)
		_, inner := tracer.Start(context.Background(), "by hand, without context")
		inner.End()
		extracted := otel.GetTextMapPropagator().Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		_, span = tracer.Start(extracted, "by hand, of the request's headers")
		span.End()
	})
	server = httptest.NewServer(mux)
	defer server.Close()
	for _, path := range []string{"/found", "/nested"} {
		ctx, span := tracer.Start(context.Background(), "ask "+path)
		request, _ := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
		get(request)
		span.End()
	}
}

func get(request *http.Request) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	response.Body.Close()
}

// limits: more than a span may have, and more than an entry has room for.
func limits() {
	_, span := tracer.Start(context.Background(), "large")
	for index := 0; index < 130; index++ {
		span.SetAttributes(attribute.String(fmt.Sprintf("key.%03d", index), strings.Repeat("v", 40)))
	}
	for index := 0; index < 130; index++ {
		span.AddEvent("tick", trace.WithAttributes(attribute.Int("index", index)))
	}
	span.SetAttributes(attribute.String("key.000", strings.Repeat("é", 3000)))
	span.End()

	_, span = tracer.Start(context.Background(), "endless")
	span.SetAttributes(attribute.String("endless", strings.Repeat("x", 1<<20)), attribute.String("short", "kept"))
	span.End()
}
