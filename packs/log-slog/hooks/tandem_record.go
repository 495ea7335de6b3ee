package slog

import (
	"bytes"
	"context"
	"unsafe"

	tandem_rt "tandem/rt"
)

// Tandem's log/slog pack: records that are logged inside a span carry its ids, under the names that OpenTelemetry gives
// them in logs outside of OTLP. Whoever has put a trace_id there himself keeps his own.

const (
	tandemTraceKey = "trace_id"
	tandemSpanKey  = "span_id"
	tandemFlagsKey = "trace_flags"
)

// tandemWithIDs: the environment may take the ids out (OTEL_GO_DISABLED_INSTRUMENTATIONS).
var tandemWithIDs = tandem_rt.Instrumented("log/slog.record", "tandem/log/slog")

// tandemSpan is the span that a record belongs to, or nil.
func tandemSpan(ctx context.Context) *tandem_rt.Span {
	if !tandemWithIDs {
		return nil
	}
	if ctx == nil {
		return tandem_rt.Closest(nil)
	}
	return tandem_rt.Closest(tandem_rt.FromContext(ctx))
}

// tandemIDs is a span's ids as text.
type tandemIDs struct {
	text [tandem_rt.TraceparentSize]byte // a traceparent: it holds all three, each at its place
}

func (ids *tandemIDs) of(span *tandem_rt.Span) (trace, id, flags string) {
	text := unsafe.String(&ids.text[0], len(span.AppendTraceparent(ids.text[:0])))
	return text[3:35], text[36:52], text[53:55]
}

// tandemAppend writes the ids of the record's span, beside time, level and message.
func tandemAppend(state *handleState, record *Record) {
	if record.tandem == nil || record.tandemHas() || bytes.Contains(state.h.preformattedAttrs, []byte(tandemTraceKey)) {
		return
	}
	var ids tandemIDs
	trace, id, flags := ids.of(record.tandem)
	if state.h.opts.ReplaceAttr != nil {
		state.appendAttr(String(tandemTraceKey, string(append([]byte(nil), trace...))))
		state.appendAttr(String(tandemSpanKey, string(append([]byte(nil), id...))))
		state.appendAttr(String(tandemFlagsKey, string(append([]byte(nil), flags...))))
		return
	}
	state.appendKey(tandemTraceKey)
	state.appendString(trace)
	state.appendKey(tandemSpanKey)
	state.appendString(id)
	state.appendKey(tandemFlagsKey)
	state.appendString(flags)
}

// tandemAttributes adds the ids to a record for a handler that is not one of Go's own.
func tandemAttributes(ctx context.Context, handler Handler, record *Record) {
	switch handler.(type) {
	case *JSONHandler, *TextHandler, *defaultHandler:
		return
	}
	span := tandemSpan(ctx)
	if span == nil || record.tandemHas() {
		return
	}
	text := span.Traceparent()
	record.AddAttrs(String(tandemTraceKey, text[3:35]), String(tandemSpanKey, text[36:52]), String(tandemFlagsKey, text[53:55]))
}

// tandemHas says whether a record has a trace id already.
func (r *Record) tandemHas() bool {
	for index := 0; index < r.nFront; index++ {
		if r.front[index].Key == tandemTraceKey {
			return true
		}
	}
	for index := range r.back {
		if r.back[index].Key == tandemTraceKey {
			return true
		}
	}
	return false
}
