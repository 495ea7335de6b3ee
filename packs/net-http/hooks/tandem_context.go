package http

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	tandem_rt "tandem/rt"
)

// The request's context carries its span, without costing an allocation: the response itself, seen as another type, is
// that context. It may be kept beyond the request. It never shows another request's span: when a span's record is about
// to be reused, its ids stay behind in the response, or a record of its own where there is a tracestate or baggage.

// tandemResponse is what a response carries for its request's context.
type tandemResponse struct {
	base context.Context // what the request's context would be without us
	span unsafe.Pointer  // *tandem_rt.Span; nil: only its ids are left
}

// tandemContext is a response, seen as its request's context.
type tandemContext response

// tandemCarry makes the response the request's context.
func (w *response) tandemCarry(span *tandem_rt.Span) {
	w.tandem.base = w.req.ctx
	w.tandem.span = unsafe.Pointer(span) // nobody else has the response yet
	w.req.ctx = (*tandemContext)(w)
}

// tandemRelease is called before the span ends. Where nobody else holds its record, that is reused: then the context
// keeps only the ids, in the buffer for the date, which was written for the last time.
func (w *response) tandemRelease(span *tandem_rt.Span) {
	if atomic.LoadPointer(&w.tandem.span) != unsafe.Pointer(span) {
		return
	}
	ids := w.tandemIDs()
	ids.trace, ids.span, ids.sampled = span.TraceID(), span.SpanID(), span.Sampled()
	if remains := span.Remains(); remains != nil {
		atomic.StorePointer(&w.tandem.span, unsafe.Pointer(remains))
		span.Withdraw()
	} else if span.Withdraw() {
		atomic.StorePointer(&w.tandem.span, nil)
	}
}

type tandemSpanIDs struct {
	trace   [16]byte
	span    [8]byte
	sampled bool
}

func (w *response) tandemIDs() *tandemSpanIDs {
	const _ = uint(len(TimeFormat)) - uint(unsafe.Sizeof(tandemSpanIDs{})) // it fits, or this does not compile
	return (*tandemSpanIDs)(unsafe.Pointer(&w.dateBuf))
}

// tandemSpan is the span that the context carries. Callers on other goroutines capture it, so that it stays as it is.
func (w *response) tandemSpan() *tandem_rt.Span {
	span := (*tandem_rt.Span)(atomic.LoadPointer(&w.tandem.span))
	if span != nil && (span.Home() || (span.Share() && atomic.LoadPointer(&w.tandem.span) == unsafe.Pointer(span))) {
		return span
	}
	ids := w.tandemIDs() // written before the span was withdrawn
	return tandem_rt.Ended(ids.trace, ids.span, ids.sampled)
}

func (c *tandemContext) Deadline() (deadline time.Time, ok bool) { return c.tandem.base.Deadline() }

func (c *tandemContext) Done() <-chan struct{} { return c.tandem.base.Done() }

func (c *tandemContext) Err() error { return c.tandem.base.Err() }

func (c *tandemContext) Value(key any) any {
	if key == tandem_rt.ContextKey {
		return (*response)(c).tandemSpan()
	}
	return c.tandem.base.Value(key)
}

func (c *tandemContext) String() string { return fmt.Sprint(c.tandem.base) }
