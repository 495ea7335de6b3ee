package trace

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	tandem_rt "tandem/rt"
)

func tandemTestTracer() *TandemTracer {
	tracer := new(TandemTracer)
	tracer.TandemInit(tandemTracers, "test", "1", "")
	return tracer
}

// TestTandemAllocations: a span of the API costs one allocation, which is the span and its context; the API without an SDK
// makes more. Attributes, events and finding a span that was found before cost none of ours.
func TestTandemAllocations(t *testing.T) {
	if !tandem_rt.Enabled() {
		t.Skip("nothing is recorded here")
	}
	tracer, ctx := tandemTestTracer(), context.Background()
	attributes := []attribute.KeyValue{attribute.String("http.route", "/a"), attribute.Int("n", 1), attribute.Bool("b", true)}
	options := []SpanStartOption{WithAttributes(attributes...), WithSpanKind(SpanKindClient)}
	if allocations := testing.AllocsPerRun(100, func() {
		_, span, _ := tracer.TandemStart(ctx, "span", options)
		span.SetAttributes(attributes...)
		span.SetName("another")
		span.End()
	}); allocations > 1 {
		t.Errorf("a span costs %v allocations", allocations)
	}
	ctx, span, _ := tracer.TandemStart(ctx, "parent", nil)
	defer span.End()
	if allocations := testing.AllocsPerRun(100, func() {
		if !SpanContextFromContext(ctx).IsValid() || SpanFromContext(ctx) != span {
			t.Error("the context has not its span")
		}
	}); allocations > 0 {
		t.Errorf("finding a span costs %v allocations", allocations)
	}
}

// TestTandemCutText: limits count characters, and never split one.
func TestTandemCutText(t *testing.T) {
	defer func(limit int) { tandem_rt.AttributeTextLimit = limit }(tandem_rt.AttributeTextLimit)
	for _, test := range []struct {
		limit      int
		text, want string
	}{{-1, "abc", "abc"}, {0, "abc", ""}, {2, "äöü", "äö"}, {3, "äöü", "äöü"}, {9, "a\xffb", "a\xffb"}} {
		tandem_rt.AttributeTextLimit = test.limit
		if got := tandemCut(test.text); got != test.want {
			t.Errorf("tandemCut(%q) with limit %d is %q, not %q", test.text, test.limit, got, test.want)
		}
	}
}

func BenchmarkTandemSpan(b *testing.B) {
	tracer, ctx := tandemTestTracer(), context.Background()
	attributes := []attribute.KeyValue{attribute.String("http.route", "/a"), attribute.Int("n", 1), attribute.Bool("b", true)}
	options := []SpanStartOption{WithAttributes(attributes...)}
	b.ReportAllocs()
	for index := 0; index < b.N; index++ {
		_, span, _ := tracer.TandemStart(ctx, "span", options)
		span.End()
	}
}
