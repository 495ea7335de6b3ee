package logrus

import (
	"context"

	tandem_rt "tandem/rt"
)

// Tandem's logrus pack: entries that are written inside a span carry its ids, under the names that OpenTelemetry gives them
// in logs outside of OTLP. Whoever has put a trace_id there himself keeps his own.
//
// They go where logrus has its fields, in a map of interfaces, so they are allocated as those are: hooks and formatters may
// keep them.

const (
	tandemTraceKey = "trace_id"
	tandemSpanKey  = "span_id"
	tandemFlagsKey = "trace_flags"
)

// tandemWithIDs: the environment may take the ids out (OTEL_GO_DISABLED_INSTRUMENTATIONS).
var tandemWithIDs = tandem_rt.Instrumented("logrus.ids", "tandem/github.com/sirupsen/logrus")

// tandemSpan is the span that a context carries, else the goroutine's, or nil.
func tandemSpan(ctx context.Context) *tandem_rt.Span {
	if !tandemWithIDs {
		return nil
	}
	if ctx == nil {
		return tandem_rt.Closest(nil)
	}
	return tandem_rt.Closest(tandem_rt.FromContext(ctx))
}

func tandemIDs(entry *Entry) {
	span := tandemSpan(entry.Context)
	if span == nil {
		return
	}
	if _, has := entry.Data[tandemTraceKey]; has {
		return
	}
	if entry.Data == nil {
		entry.Data = make(Fields, 3)
	}
	text := span.Traceparent() // it holds all three, each at its place
	entry.Data[tandemTraceKey] = text[3:35]
	entry.Data[tandemSpanKey] = text[36:52]
	entry.Data[tandemFlagsKey] = text[53:55]
}

// tandemCopy gives an entry fields of its own where its line would share them with others.
func tandemCopy(entry *Entry) {
	if tandemSpan(entry.Context) == nil {
		return
	}
	data := make(Fields, len(entry.Data)+3)
	for key, value := range entry.Data {
		data[key] = value
	}
	entry.Data = data
}
