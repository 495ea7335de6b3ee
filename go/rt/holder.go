package rt

import (
	"sync/atomic"
	"unsafe"
)

// Contexts are often kept longer than the span in them runs, whose record is reused when it has ended. A Holder is a
// context's place for a span that it only borrows: it shows the span as long as that runs, and afterwards what is left of
// it. That costs no allocation unless somebody asks afterwards.

// Holder is that place. One goroutine holds and releases a span; any may ask for it.
type Holder struct {
	span unsafe.Pointer // *Span: the span, or what is left of it besides its ids; nil: nothing is
}

// IDs are what is left of a span in any case. They may lie wherever there is room.
type IDs struct {
	trace [16]byte
	span  [8]byte
	flags byte
}

// Hold puts a span in its place; nobody else has the Holder yet.
func (h *Holder) Hold(span *Span) { h.span = unsafe.Pointer(span) }

// Held returns the span that was put there, for who knows that it has not been released.
func (h *Holder) Held() *Span { return (*Span)(atomic.LoadPointer(&h.span)) }

// Release is called by the span's owner before it ends. ids are written for the last time.
func (h *Holder) Release(span *Span, ids *IDs) {
	if h.Held() != span {
		return
	}
	ids.trace, ids.span, ids.flags = span.TraceID(), span.SpanID(), span.TraceFlags()
	if remains := span.remains(); remains != nil {
		atomic.StorePointer(&h.span, unsafe.Pointer(remains))
		span.Withdraw()
	} else if span.Withdraw() {
		atomic.StorePointer(&h.span, nil)
	}
}

// Show returns the span, captured unless it is current on this goroutine, or a stand-in for what it was.
func (h *Holder) Show(ids *IDs) *Span {
	span := h.Held()
	if span.Home() {
		return span
	}
	if shared := span.Share(); shared && h.Held() == span {
		if !span.StandIn() {
			return span
		}
	} else if remains := h.Held(); remains != span {
		span = remains
	} else {
		span = nil // it is being released, and nothing will be left
	}
	later := Ended(ids.trace, ids.span, false) // the ids were written before the span was withdrawn
	later.resemble(span, ids.flags)
	return later
}

// resemble gives the stand-in for a span what is left of it besides its ids.
//
//go:norace
func (s *Span) resemble(remains *Span, flags byte) {
	s.traceFlags = flags
	if remains != nil {
		s.extra, s.tracestate, s.baggage = remains.extra, remains.tracestate, remains.baggage
	}
}

// lastRemains is what the last span left that left anything. The next one mostly leaves the same: a tracestate that says
// how traces are sampled here, or that all callers send.
var lastRemains unsafe.Pointer // *Span

// remains returns what is left of a span besides its ids and flags, and what its children take over; nil: nothing. It is
// shared, and has no ids.
//
//go:norace
func (s *Span) remains() *Span {
	if s.tracestate == "" && s.baggage == "" && s.extra == 0 {
		return nil
	}
	last := (*Span)(atomic.LoadPointer(&lastRemains))
	if last == nil || last.tracestate != s.tracestate || last.baggage != s.baggage || last.extra != s.extra {
		last = &Span{captured: 1, extra: s.extra, tracestate: s.tracestate, baggage: s.baggage}
		atomic.StorePointer(&lastRemains, unsafe.Pointer(last))
	}
	return last
}
