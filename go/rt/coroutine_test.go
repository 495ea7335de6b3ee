//go:build go1.23

package rt

import (
	"iter"
	"testing"
)

// A coroutine works for who calls next, until it has a span of its own; what it leaves behind changes nothing for the caller.
func TestCoroutine(t *testing.T) {
	drain(t)
	next, stop := iter.Pull(func(yield func(*record) bool) {
		for {
			Start(opInternal, nil).End()
			if !yield(one(t)) {
				break
			}
		}
		own := Start(opInternal, nil)
		defer own.End()
	})
	if got, _ := next(); got.parentSpanID != [8]byte{} || len(got.ofKind(itemLink)) != 0 {
		t.Error("outside of any span it has a context")
	}
	for round := 0; round < 3; round++ {
		span := Start(opServer, nil)
		id := span.SpanID()
		if got, _ := next(); got.parentSpanID != id {
			t.Error("not a child of the caller")
		}
		if Current() != span {
			t.Error("the caller's slot changed")
		}
		span.End()
		one(t)
	}
	span := Start(opServer, nil)
	id := span.SpanID()
	stop()
	if got := one(t); got.parentSpanID != id {
		t.Error("what is done at stop is no child of its caller")
	}
	span.End()
	drain(t)
}

// The span that a coroutine keeps open across yields stays its own, also where coroutines are nested.
func TestCoroutineKeepsItsSpan(t *testing.T) {
	drain(t)
	var ownID [8]byte
	outer, stopOuter := iter.Pull(func(yield func([8]byte) bool) {
		inner, stopInner := iter.Pull(func(yield func([8]byte) bool) {
			for {
				Start(opInternal, nil).End()
				if !yield(one(t).parentSpanID) {
					return
				}
			}
		})
		defer stopInner()
		own := Start(opInternal, nil)
		defer own.End()
		ownID = own.SpanID()
		for {
			parent, _ := inner()
			if !yield(parent) {
				return
			}
			if Current() != own {
				t.Error("its own span is not current any more")
			}
		}
	})
	for round := 0; round < 3; round++ {
		span := Start(opServer, nil)
		if parent, _ := outer(); parent != ownID {
			t.Error("not below the span that the coroutine keeps open")
		}
		span.End()
		one(t)
	}
	stopOuter()
	drain(t)
	if here().context != nil {
		t.Error("something is left in the slot")
	}
}
