package http

import (
	"context"
	"fmt"
	"time"
	"unsafe"

	tandem_rt "tandem/rt"
)

// The request's context carries its span, without costing an allocation: the response itself, seen as another type, is
// that context. It may be kept beyond the request: then it shows what is left of the span.

// tandemResponse is what a response carries for its request's context.
type tandemResponse struct {
	base context.Context // what the request's context would be without us
	span tandem_rt.Holder
}

// tandemContext is a response, seen as its request's context.
type tandemContext response

// tandemCarry makes the response the request's context.
func (w *response) tandemCarry(span *tandem_rt.Span) {
	w.tandem.base = w.req.ctx
	w.tandem.span.Hold(span)
	w.req.ctx = (*tandemContext)(w)
}

// tandemRelease is called before the span ends.
func (w *response) tandemRelease(span *tandem_rt.Span) { w.tandem.span.Release(span, w.tandemIDs()) }

// tandemIDs is the buffer for the date, which was written for the last time when the span's ids come there.
func (w *response) tandemIDs() *tandem_rt.IDs {
	const _ = uint(len(TimeFormat)) - uint(unsafe.Sizeof(tandem_rt.IDs{})) // it fits, or this does not compile
	return (*tandem_rt.IDs)(unsafe.Pointer(&w.dateBuf))
}

// tandemSpan is the span that the context carries.
func (w *response) tandemSpan() *tandem_rt.Span { return w.tandem.span.Show(w.tandemIDs()) }

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
