package trace

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace/embedded"
	tandem_rt "tandem/rt"
)

// TandemSpan is a span that Tandem records, as the API shows it: one that was started through the API, or a woven one that
// the program found in its context. The ids stay when the span has ended and its record is used for another.
type TandemSpan struct {
	embedded.Span
	context.Context                // what Start was given; nil: a span that was found
	span            unsafe.Pointer // *tandem_rt.Span; nil: ended
	tracer          *TandemTracer  // nil: woven
	state           string         // tracestate
	trace           TraceID
	id              SpanID
	flags           TraceFlags
	isOwn           bool // End ends it
}

var _ Span = &TandemSpan{}

// tandemShow is a woven span for the API.
func tandemShow(woven *tandem_rt.Span) *TandemSpan {
	span := new(TandemSpan)
	span.show(woven.Keep())
	return span
}

func (s *TandemSpan) show(span *tandem_rt.Span) {
	s.span = unsafe.Pointer(span)
	s.trace, s.id, s.flags, s.state = span.TraceID(), span.SpanID(), TraceFlags(span.TraceFlags()), span.Tracestate()
}

func tandemIDs(span *tandem_rt.Span) SpanContext {
	return tandemSpanContext(span.TraceID(), span.SpanID(), TraceFlags(span.TraceFlags()), span.Tracestate(), false)
}

func tandemSpanContext(trace TraceID, id SpanID, flags TraceFlags, state string, remote bool) SpanContext {
	ids := SpanContextConfig{TraceID: trace, SpanID: id, TraceFlags: flags, Remote: remote}
	if state != "" {
		ids.TraceState, _ = ParseTraceState(state)
	}
	return NewSpanContext(ids)
}

// running returns the span, if it has not ended.
func (s *TandemSpan) running() *tandem_rt.Span {
	span := (*tandem_rt.Span)(atomic.LoadPointer(&s.span))
	if !span.Mine((*[8]byte)(&s.id)) {
		return nil
	}
	return span
}

// woven is what woven code finds in a context with the span.
func (s *TandemSpan) woven() *tandem_rt.Span {
	if span := s.running(); span != nil {
		return span
	}
	return tandem_rt.Ended(s.trace, s.id, s.flags.IsSampled())
}

// SpanContext returns the ids.
func (s *TandemSpan) SpanContext() SpanContext {
	return tandemSpanContext(s.trace, s.id, s.flags, s.state, false)
}

// IsRecording says whether what is set is kept.
func (s *TandemSpan) IsRecording() bool { return s.running().Recording() }

// TracerProvider returns the tracer's, or for a woven span the global one.
func (s *TandemSpan) TracerProvider() TracerProvider {
	if s.tracer != nil && s.tracer.provider != nil {
		return s.tracer.provider
	}
	if TandemProvider != nil {
		return TandemProvider()
	}
	return tandemTracers
}

// SetName renames the span.
func (s *TandemSpan) SetName(name string) { s.running().Rename(name) }

// SetStatus sets the status; nothing replaces Ok.
func (s *TandemSpan) SetStatus(code codes.Code, description string) {
	if code == codes.Error || code == codes.Ok {
		s.running().SetStatus(code == codes.Error, description)
	}
}

// SetAttributes sets attributes; the last one of a key counts.
func (s *TandemSpan) SetAttributes(attributes ...attribute.KeyValue) {
	span := s.running()
	if span == nil || len(attributes) == 0 {
		return
	}
	var room [tandemRoom]byte
	items, _ := tandemAttributes(room[:0], attributes, len(attributes))
	span.Append(items)
}

// AddEvent adds an event.
func (s *TandemSpan) AddEvent(name string, options ...EventOption) {
	if span := s.running(); span.Recording() {
		tandemEvent(span, name, nil, options)
	}
}

// RecordError adds an event that tells of an error.
func (s *TandemSpan) RecordError(err error, options ...EventOption) {
	span := s.running()
	if err == nil || !span.Recording() {
		return
	}
	tandemEvent(span, "exception", []attribute.KeyValue{
		attribute.String("exception.type", tandemTypeName(err)),
		attribute.String("exception.message", err.Error()),
	}, options)
}

func tandemTypeName(value any) string {
	is := reflect.TypeOf(value)
	if is.PkgPath() == "" && is.Name() == "" {
		return is.String()
	}
	return fmt.Sprintf("%s.%s", is.PkgPath(), is.Name())
}

// tandemStackSize is how much of a stack is recorded.
const tandemStackSize = 8 << 10

func tandemEvent(span *tandem_rt.Span, name string, first []attribute.KeyValue, options []EventOption) {
	var config EventConfig
	count := tandem_rt.EventAttributes
	for _, option := range options {
		if _, is := option.(attributeOption); !is {
			config = option.applyEvent(config)
		}
	}
	if config.StackTrace() {
		stack := make([]byte, tandemStackSize)
		stack = stack[:runtime.Stack(stack, false)]
		first = append(first, attribute.String("exception.stacktrace", string(stack)))
	}
	var room [tandemRoom]byte
	when := config.Timestamp()
	items := tandem_rt.AppendEvent(room[:0], name, when.UnixNano(), !when.IsZero())
	items, dropped := tandemAttributes(items, first, count)
	count -= len(first)
	for _, option := range options {
		if attributes, is := option.(attributeOption); is {
			more := 0
			items, more = tandemAttributes(items, attributes, count)
			count, dropped = count-len(attributes), dropped+more
		}
	}
	span.Append(tandem_rt.EndGroup(items))
	if dropped > 0 {
		span.Drop(dropped)
	}
}

// AddLink adds a link.
func (s *TandemSpan) AddLink(link Link) {
	if span := s.running(); span.Recording() {
		var room [tandemRoom]byte
		span.Append(tandemLinks(room[:0], []Link{link}))
	}
}

// End ends the span, if it was started through the API. A woven span's end is its operation's.
func (s *TandemSpan) End(options ...SpanEndOption) {
	if !s.isOwn {
		return
	}
	span := s.running()
	if span == nil {
		return
	}
	if len(options) != 0 {
		var config SpanConfig
		for _, option := range options {
			config = option.applySpanEnd(config)
		}
		if when := config.Timestamp(); !when.IsZero() {
			span.EndedAt(when.UnixNano(), int64(time.Since(when)))
		}
	}
	if span.Withdraw() {
		atomic.StorePointer(&s.span, nil)
	}
	span.End()
}
