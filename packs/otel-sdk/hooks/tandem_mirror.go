package trace

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Tandem's records of the SDK's spans: begun with them, and told at their end all that they were told. Spans that the SDK's
// sampler has dropped tell theirs at once.

// tandemTracer is a tracer's scope as Tandem knows it.
type tandemTracer struct {
	once   sync.Once
	tracer trace.TandemTracer
}

func (tr *tracer) tandemTracer() *trace.TandemTracer {
	tr.tandem.once.Do(func() {
		scope := &tr.instrumentationScope
		tr.tandem.tracer.TandemInit(tr.provider, scope.Name, scope.Version, scope.SchemaURL)
	})
	return &tr.tandem.tracer
}

// TandemSpan lets contexts find the record.
func (s *recordingSpan) TandemSpan() *trace.TandemSpan { return s.tandem }

// TandemSpan lets contexts find the record.
func (s nonRecordingSpan) TandemSpan() *trace.TandemSpan { return s.tandem }

func tandemRecording(tr *tracer, plan *trace.TandemPlan, span *recordingSpan, name string, config *trace.SpanConfig) *recordingSpan {
	span.tandem = plan.Begin(tr.tandemTracer(), span.spanContext, name, config)
	return span
}

func tandemNonRecording(tr *tracer, plan *trace.TandemPlan, span nonRecordingSpan, name string, config *trace.SpanConfig) nonRecordingSpan {
	span.tandem = plan.Begin(tr.tandemTracer(), span.sc, name, config)
	span.tandem.Describe(config)
	return span
}

// tandemEnd is called when a span has ended; given is the end that the program gave, if any.
func tandemEnd(span *recordingSpan, given time.Time) {
	mirror := span.tandem
	if mirror == nil {
		return
	}
	mirror.TandemRename(span.Name(), span.SpanKind())
	mirror.SetAttributes(span.Attributes()...)
	for _, event := range span.Events() {
		mirror.AddEvent(event.Name, trace.WithTimestamp(event.Time), trace.WithAttributes(event.Attributes...))
	}
	for _, link := range span.Links() {
		mirror.AddLink(trace.Link{SpanContext: link.SpanContext, Attributes: link.Attributes})
	}
	status := span.Status()
	mirror.SetStatus(status.Code, status.Description)
	if given.IsZero() {
		mirror.End()
	} else {
		mirror.End(trace.WithTimestamp(given))
	}
}
