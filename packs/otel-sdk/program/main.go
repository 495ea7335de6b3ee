// A program with an OpenTelemetry SDK of its own. It prints what its exporter saw, for the test to compare with what Tandem
// saw: kept spans, dropped ones, spans around woven ones and below them, sampling by the SDK's sampler.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// before is a tracer from before the SDK was set up.
var before = otel.Tracer("before")

// exporter prints each span that is exported as a line of JSON. It asks the server for something too, as exporters do.
type exporter struct{ server *httptest.Server }

type line struct {
	Trace, Span, Parent, Name string
	Remote                    bool
	Attributes                map[string]any
	Events, Links             int
	Status                    string
}

func (e *exporter) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	if response, err := http.Get(e.server.URL + "/export"); err == nil {
		response.Body.Close()
	}
	encoder := json.NewEncoder(os.Stdout)
	for _, span := range spans {
		one := line{
			Trace: span.SpanContext().TraceID().String(), Span: span.SpanContext().SpanID().String(), Name: span.Name(),
			Attributes: map[string]any{}, Events: len(span.Events()), Links: len(span.Links()), Status: span.Status().Code.String(),
		}
		if span.Parent().SpanID().IsValid() {
			one.Parent, one.Remote = span.Parent().SpanID().String(), span.Parent().IsRemote()
		}
		for _, pair := range span.Attributes() {
			one.Attributes[string(pair.Key)] = pair.Value.AsInterface()
		}
		if err := encoder.Encode(one); err != nil {
			return err
		}
	}
	return nil
}

func (*exporter) Shutdown(context.Context) error { return nil }

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/export", func(http.ResponseWriter, *http.Request) {})
	collector := httptest.NewServer(mux)
	defer collector.Close()
	sampler := &byName{sdk.ParentBased(sdk.AlwaysSample())}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(&exporter{collector}), sdk.WithSampler(sampler))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	defer provider.Shutdown(context.Background())
	tracer := otel.Tracer("program", trace.WithInstrumentationVersion("1"))

	ctx, span := tracer.Start(context.Background(), "contents", trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("text", "a"), attribute.IntSlice("list", []int{1, 2})),
		trace.WithLinks(trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}})}))
	span.AddEvent("event", trace.WithAttributes(attribute.Bool("is", true)))
	span.RecordError(errors.New("recorded"))
	span.SetStatus(codes.Error, "failed")
	_, child := before.Start(ctx, "child")
	child.End()
	span.SetName("contents, renamed")
	span.End()

	_, span = tracer.Start(context.Background(), "timed", trace.WithTimestamp(time.Unix(1_700_000_000, 5)))
	span.End(trace.WithTimestamp(time.Unix(1_700_000_001, 5)))

	var server *httptest.Server
	mux = http.NewServeMux()
	mux.HandleFunc("/leaf", func(w http.ResponseWriter, r *http.Request) {
		// The flag that reaches the other side is the SDK's decision.
		w.Header().Set("Flags", r.Header.Get("Traceparent")[53:])
	})
	handle := func(w http.ResponseWriter, r *http.Request) {
		ctx, span := tracer.Start(r.Context(), "in "+r.URL.Path)
		defer span.End()
		span.SetAttributes(attribute.String("set", "later"))
		request, _ := http.NewRequestWithContext(ctx, "GET", server.URL+"/leaf", nil)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		w.Header().Set("Flags", response.Header.Get("Flags"))
		_, inner := tracer.Start(ctx, "inner")
		inner.End()
	}
	mux.HandleFunc("/kept", handle)
	mux.HandleFunc("/dropped", handle)
	server = httptest.NewServer(mux)
	defer server.Close()
	ask(server, "/kept", "")
	ask(server, "/dropped", "")
	// A caller's decision is the SDK's too, whatever ours is.
	ask(server, "/kept", "Traceparent: 00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01\r\n")
	ask(server, "/dropped", "Traceparent: 00-0102030405060708090a0b0c0d0e0f11-0102030405060708-01\r\n")
}

// ask sends a request as a program would that knows nothing of traces, and prints what flags went on.
func ask(server *httptest.Server, path, header string) {
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	fmt.Fprintf(connection, "GET %s HTTP/1.0\r\n%s\r\n", path, header)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		panic(err)
	}
	response.Body.Close()
	fmt.Fprintf(os.Stderr, "flags of %s: %s\n", path, response.Header.Get("Flags"))
}

// byName drops the roots that say so.
type byName struct{ sdk.Sampler }

func (s *byName) ShouldSample(parameters sdk.SamplingParameters) sdk.SamplingResult {
	if parent := trace.SpanContextFromContext(parameters.ParentContext); !parent.IsValid() && parameters.Name == "in /dropped" {
		return sdk.SamplingResult{Decision: sdk.Drop, Tracestate: parent.TraceState()}
	}
	return s.Sampler.ShouldSample(parameters)
}
