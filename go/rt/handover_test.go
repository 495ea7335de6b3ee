package rt

import (
	"runtime"
	"testing"
	"time"
)

// What AfterFunc runs has the context of who called it, whatever the timer's goroutine comes from, and ends with its root.
func TestTimer(t *testing.T) {
	drain(t)
	root := Start(opServer, nil)
	rootID, rootTrace := root.SpanID(), root.TraceID()
	proceed, checked := make(chan struct{}), make(chan struct{})
	time.AfterFunc(time.Microsecond, func() {
		Start(opInternal, nil).End()
		checked <- struct{}{}
		<-proceed
		Start(opInternal, nil).End()
		close(checked)
	})
	<-checked
	if got := one(t); got.parentSpanID != rootID || got.traceID != rootTrace {
		t.Error("not a child of who set the timer")
	}
	root.End()
	one(t)
	close(proceed)
	<-checked
	got := one(t)
	links := got.ofKind(itemLink)
	if got.parentSpanID != [8]byte{} || len(links) != 1 || links[0].text != string(rootTrace[:])+string(rootID[:]) {
		t.Error("not a root with a link")
	}
	Detach()
	done := make(chan bool)
	time.AfterFunc(time.Microsecond, func() { done <- here().context == nil })
	if !<-done {
		t.Error("a timer set outside of any span has a context")
	}
	// A timer whose channel is waited for costs no span its record.
	span := Start(opInternal, nil)
	time.NewTimer(time.Microsecond).Stop()
	if span.captured != 0 {
		t.Error("a timer without a function captured the span")
	}
	span.End()
	drain(t)
}

// Goroutines that Go starts for itself inherit nothing.
func TestSystemGoroutines(t *testing.T) {
	span := Start(opServer, nil)
	defer span.End()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 3))
	runtime.GC() // starts a worker for each P that has none yet
	if span.captured != 0 {
		t.Error("a worker of the collector has inherited the span")
	}
}

// Carry gives what a goroutine would inherit: the closer of context and slot, or what is stale, to be linked to.
func TestCarry(t *testing.T) {
	drain(t)
	if Carry(nil) != nil {
		t.Error("something out of nothing")
	}
	root := Start(opServer, nil)
	child := Start(opInternal, nil)
	other := StartDetached(opInternal, Ended([16]byte{1}, [8]byte{2}, true))
	if Carry(nil) != child || Carry(root) != child || Carry(other) != other || child.captured == 0 {
		t.Error("Carry")
	}
	child.End()
	proceed, checked := make(chan struct{}), make(chan struct{})
	go func() {
		<-proceed
		if Carry(nil) != root || Current() != nil {
			t.Error("what is stale is not carried")
		}
		close(checked)
	}()
	root.End()
	close(proceed)
	<-checked
	previous := Ignore()
	if !(Carry(other) == &muted) {
		t.Error("muted is not carried")
	}
	Restore(previous)
	other.End()
	drain(t)
}
