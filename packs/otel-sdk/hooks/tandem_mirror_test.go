package trace

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

// TestTandemMirror: a context with the SDK's span shows Tandem's record of it to woven code, with the same ids.
func TestTandemMirror(t *testing.T) {
	for _, sampler := range []Sampler{AlwaysSample(), NeverSample()} {
		ctx, span := NewTracerProvider(WithSampler(sampler)).Tracer("test").Start(context.Background(), "span")
		if found := trace.SpanFromContext(ctx); !found.SpanContext().Equal(span.SpanContext()) {
			t.Errorf("the context has %v instead of %v", found.SpanContext(), span.SpanContext())
		}
		mirror := span.(interface{ TandemSpan() *trace.TandemSpan }).TandemSpan()
		if mirror == nil || mirror.SpanContext().SpanID() != span.SpanContext().SpanID() || !mirror.IsRecording() {
			t.Error("it is not recorded under its ids")
		}
		span.End()
		if mirror != nil && mirror.IsRecording() {
			t.Error("the record has not ended")
		}
	}
}
