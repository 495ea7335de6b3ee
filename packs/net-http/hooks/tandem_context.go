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

// tandemResponse is a response and, behind it, what it carries for its request's context.
type tandemResponse struct {
	response response
	base     context.Context // what the request's context would be without us
	span     tandem_rt.Holder
}

// tandemContext is a response, seen as its request's context.
type tandemContext tandemResponse

// tandemBegun is what w, which readRequest made, begins.
func tandemBegun(w *response) *tandemResponse { return (*tandemResponse)(unsafe.Pointer(w)) }

// carry makes the response the request's context.
func (w *tandemResponse) carry(span *tandem_rt.Span) {
	w.base = w.response.req.ctx
	w.span.Hold(span)
	w.response.req.ctx = (*tandemContext)(w)
}

// release is called before the span ends.
func (w *tandemResponse) release(span *tandem_rt.Span) { w.span.Release(span, w.ids()) }

// ids is the buffer for the date, which was written for the last time when the span's ids come there.
func (w *tandemResponse) ids() *tandem_rt.IDs {
	const _ = uint(len(TimeFormat)) - uint(unsafe.Sizeof(tandem_rt.IDs{})) // it fits, or this does not compile
	return (*tandem_rt.IDs)(unsafe.Pointer(&w.response.dateBuf))
}

func (c *tandemContext) Deadline() (deadline time.Time, ok bool) { return c.base.Deadline() }

func (c *tandemContext) Done() <-chan struct{} { return c.base.Done() }

func (c *tandemContext) Err() error { return c.base.Err() }

func (c *tandemContext) Value(key any) any {
	if key == tandem_rt.ContextKey {
		return c.span.Show((*tandemResponse)(c).ids())
	}
	return c.base.Value(key)
}

func (c *tandemContext) String() string { return fmt.Sprint(c.base) }
