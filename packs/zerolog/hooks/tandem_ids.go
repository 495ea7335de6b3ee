package zerolog

import (
	"bytes"
	"context"

	tandem_rt "tandem/rt"
)

// Tandem's zerolog pack: events that are sent inside a span carry its ids, under the names that OpenTelemetry gives them in
// logs outside of OTLP. Whoever has put a trace_id there himself keeps his own.

const (
	tandemTraceKey = "trace_id"
	tandemSpanKey  = "span_id"
	tandemFlagsKey = "trace_flags"
)

// What an event's text has when it has an id: the key is text in JSON and in CBOR.
var tandemWrittenKey = []byte(tandemTraceKey)

// tandemWithIDs: the environment may take the ids out (OTEL_GO_DISABLED_INSTRUMENTATIONS).
var tandemWithIDs = tandem_rt.Instrumented("zerolog.ids", "tandem/github.com/rs/zerolog")

func tandemSpan(ctx context.Context) *tandem_rt.Span {
	if ctx == nil {
		return nil
	}
	return tandem_rt.FromContext(ctx)
}

func tandemIDs(e *Event, ctx context.Context) {
	if e.level == Disabled || !tandemWithIDs {
		return
	}
	var span *tandem_rt.Span
	if ctx != nil {
		span = tandem_rt.FromContext(ctx)
	}
	span = tandem_rt.Closest(span)
	if span == nil || bytes.Contains(e.buf, tandemWrittenKey) {
		return
	}
	var room [tandem_rt.TraceparentSize]byte // a traceparent: it holds all three, each at its place
	text := span.AppendTraceparent(room[:0])
	// Strings of at most 32 bytes that go no further are made on the stack.
	e.buf = enc.AppendString(enc.AppendKey(e.buf, tandemTraceKey), string(text[3:35]))
	e.buf = enc.AppendString(enc.AppendKey(e.buf, tandemSpanKey), string(text[36:52]))
	e.buf = enc.AppendString(enc.AppendKey(e.buf, tandemFlagsKey), string(text[53:55]))
}
