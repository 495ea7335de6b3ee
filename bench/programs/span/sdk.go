package main

import (
	"context"
	"log"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"example.com/bench/programs/paired"
)

// discard exports to nowhere, so that what is measured is the SDK alone.
type discard struct{}

func (discard) ExportSpans(context.Context, []trace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                          { return nil }

// sdk are the same spans made with the OpenTelemetry Go SDK and its batch processor, as its documentation shows.
// So many that each measurement has its share of garbage collection, and that all fit the processor's queue. It is flushed
// after each measurement: what the processor does on its own goroutine is not counted, but in the case that flushes within.
func sdk() []paired.Case {
	const count = 2000
	provider := trace.NewTracerProvider(trace.WithBatcher(discard{}))
	never := trace.NewTracerProvider(trace.WithBatcher(discard{}), trace.WithSampler(trace.NeverSample()))
	tracer, silent := provider.Tracer("bench"), never.Tracer("bench")
	flush := func() {
		if err := provider.ForceFlush(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	return []paired.Case{
		{Name: "sdk ten", Count: count, Do: func(n int) { sdkTen(tracer, n) }, Clear: flush},
		{Name: "sdk ten, processed", Count: count, Do: func(n int) { sdkTen(tracer, n); flush() }},
		{Name: "sdk six", Count: count, Do: func(n int) { sdkSix(tracer, n) }, Clear: flush},
		{Name: "sdk unsampled", Count: count, Do: func(n int) { sdkTen(silent, n) }},
	}
}

func sdkTen(tracer api.Tracer, n int) {
	ctx := context.Background()
	for ; n > 0; n-- {
		_, span := tracer.Start(ctx, "GET /hello", api.WithSpanKind(api.SpanKindServer), api.WithAttributes(
			attribute.String("http.request.method", method),
			attribute.String("url.path", path),
			attribute.String("url.scheme", scheme),
			attribute.String("server.address", host),
			attribute.Int("server.port", port),
			attribute.String("client.address", client),
			attribute.String("user_agent.original", agent),
			attribute.String("network.protocol.version", version),
			attribute.String("http.route", route),
		))
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		span.End()
	}
}

func sdkSix(tracer api.Tracer, n int) {
	ctx := context.Background()
	for ; n > 0; n-- {
		_, span := tracer.Start(ctx, "GET /hello", api.WithSpanKind(api.SpanKindServer), api.WithAttributes(
			attribute.String("http.request.method", method),
			attribute.String("url.path", path),
			attribute.String("url.scheme", scheme),
			attribute.String("server.address", host),
			attribute.String("http.route", route),
		))
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		span.End()
	}
}
