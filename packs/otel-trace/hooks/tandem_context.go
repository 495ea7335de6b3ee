package trace

import (
	"context"
	"sync/atomic"
	"unsafe"

	tandem_rt "tandem/rt"
)

// Contexts. Whatever puts a span of the API into a context makes one that shows it to woven code too; and where woven code
// has put its span into the context further in, that is the one the API finds.

// tandemCarrier is a context with a span that is not Tandem's: an SDK's, a header's, one that does nothing.
type tandemCarrier struct {
	context.Context
	span    Span
	standIn unsafe.Pointer // *tandem_rt.Span, made when somebody asks
}

// tandemWith is what ContextWithSpan returns.
func tandemWith(parent context.Context, span Span) context.Context {
	if parent == nil || !tandem_rt.Enabled() {
		return context.WithValue(parent, currentSpanKey, span)
	}
	return &tandemCarrier{Context: parent, span: span}
}

func (c *tandemCarrier) Value(key any) any {
	if key == tandem_rt.ContextKey {
		return c.woven()
	}
	if key, is := key.(traceContextKeyType); is && key == currentSpanKey {
		return c.span
	}
	return c.Context.Value(key)
}

// woven is the span as woven code sees it: the very one where Tandem records it, one that stands for it elsewhere, and what
// lies further out where it says nothing.
func (c *tandemCarrier) woven() *tandem_rt.Span {
	if c.span == nil {
		return tandem_rt.FromContext(c.Context)
	}
	switch span := c.span.(type) {
	case *TandemSpan:
		return span.woven()
	case interface{ TandemSpan() *TandemSpan }:
		if mirror := span.TandemSpan(); mirror != nil {
			return mirror.woven()
		}
	}
	if standIn := (*tandem_rt.Span)(atomic.LoadPointer(&c.standIn)); standIn != nil {
		return standIn
	}
	outer := tandem_rt.FromContext(c.Context)
	ids := c.span.SpanContext()
	if !ids.IsValid() || outer != nil && outer.SpanID() == ids.SpanID() {
		return outer
	}
	standIn := tandem_rt.Remote(ids.TraceID(), ids.SpanID(), byte(ids.TraceFlags()), ids.TraceState().String(), ids.IsRemote())
	atomic.StorePointer(&c.standIn, unsafe.Pointer(standIn))
	return standIn
}

// tandemContext is a TandemSpan, seen as the context that carries it: so the two are one allocation.
type tandemContext TandemSpan

func (c *tandemContext) Value(key any) any {
	if key == tandem_rt.ContextKey {
		return (*TandemSpan)(c).woven()
	}
	if key, is := key.(traceContextKeyType); is && key == currentSpanKey {
		return (*TandemSpan)(c)
	}
	return c.Context.Value(key)
}

// tandemFind is SpanFromContext where there is a span. A context without one is as good as the woven span around.
func tandemFind(ctx context.Context) (Span, bool) {
	theirs, woven := tandemLook(ctx)
	if theirs != nil {
		return theirs, true
	}
	if woven != nil {
		return tandemShow(woven), true
	}
	return nil, false
}

// tandemFindIDs is the same for SpanContextFromContext.
func tandemFindIDs(ctx context.Context) (bool, SpanContext) {
	theirs, woven := tandemLook(ctx)
	if theirs != nil {
		return true, theirs.SpanContext()
	}
	if woven != nil {
		return true, tandemIDs(woven)
	}
	return false, SpanContext{}
}

// tandemLook returns the span that lies furthest in: the API's or a woven one.
func tandemLook(ctx context.Context) (theirs Span, woven *tandem_rt.Span) {
	if ctx == nil {
		return nil, nil
	}
	theirs, _ = ctx.Value(currentSpanKey).(Span)
	woven = tandem_rt.FromContext(ctx)
	switch {
	case woven == nil && theirs == nil:
		return nil, tandem_rt.ManualParent(nil)
	case woven == nil || theirs == nil:
		return theirs, woven
	}
	if ids := theirs.SpanContext(); ids.IsValid() && ids.SpanID() != woven.SpanID() {
		return nil, woven
	}
	return theirs, nil
}

// tandemIsRoot says that the context's span was emptied on purpose: what starts below it is a root.
func tandemIsRoot(ctx context.Context) bool {
	emptied, is := ctx.Value(currentSpanKey).(nonRecordingSpan)
	return is && !emptied.sc.IsValid()
}
