package rt

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// on starts a goroutine and waits for it.
func on(work func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	<-done
}

// A span's child is nested in it, and the slot goes back step by step.
func TestNesting(t *testing.T) {
	drain(t)
	root := Start(opServer, nil)
	child := Start(opInternal, nil)
	grandchild := Start(opInternal, nil)
	if Current() != grandchild {
		t.Error("the last one started is not current")
	}
	grandchild.End()
	if Current() != child {
		t.Error("the child is not current again")
	}
	child.End()
	if Current() != root {
		t.Error("the root is not current again")
	}
	root.End()
	if Current() != nil || here().context != nil || here().on != 0 {
		t.Error("something is left in the slot")
	}
	records := drain(t)
	if len(records) != 3 {
		t.Fatalf("%d records", len(records))
	}
	if records[0].parentSpanID != records[1].spanID || records[1].parentSpanID != records[2].spanID || records[2].parentSpanID != [8]byte{} {
		t.Error("wrong parents")
	}
	if records[0].traceID != records[2].traceID {
		t.Error("not one trace")
	}
}

// Spans that end in the wrong order leave the slot to the nearest one that runs.
func TestEndsOutOfOrder(t *testing.T) {
	first := Start(opInternal, nil)
	second := Start(opInternal, nil)
	third := Start(opInternal, nil)
	second.End()
	if Current() != third {
		t.Error("ending another span changed the slot")
	}
	third.End()
	if Current() != first {
		t.Error("the slot does not hold the nearest span that runs")
	}
	first.End()
	first.End()
	if here().context != nil {
		t.Error("something is left in the slot")
	}
	running := Start(opInternal, nil)
	for overlap := 0; overlap < 10; overlap++ {
		next := Start(opInternal, nil)
		running.End()
		running = next
		if running.previous != nil && running.previous.previous != nil && running.previous.previous.previous != nil {
			t.Fatal("overlapping spans keep each other alive")
		}
	}
	running.End()
	if here().context != nil {
		t.Error("something is left in the slot")
	}
}

// A record goes from one span to the next, unless somebody else may hold it.
func TestRecordsAreReused(t *testing.T) {
	first := Start(opInternal, nil)
	first.End()
	second := Start(opInternal, nil)
	if first != second {
		t.Error("a record that nobody captured is not reused")
	}
	on(func() {}) // the goroutine has inherited it
	second.End()
	third := Start(opInternal, nil)
	if third == second {
		t.Error("a record that a goroutine has inherited is reused")
	}
	third.Capture()
	third.End()
	fourth := Start(opInternal, nil)
	if fourth == third {
		t.Error("a captured record is reused")
	}
	fourth.End()
}

// A goroutine inherits the current span; what it starts is a child as long as the local root runs, then a root with a link.
func TestInheritance(t *testing.T) {
	drain(t)
	root := Start(opServer, nil)
	inner := Start(opInternal, nil)
	proceed, checked := make(chan struct{}), make(chan struct{})
	var inherited, afterInner, afterRoot *record
	go func() {
		defer close(checked)
		span := Start(opInternal, nil)
		span.End()
		inherited = one(t)
		checked <- struct{}{}
		<-proceed
		if Current() == nil {
			t.Error("the root runs, but the context is gone")
		}
		span = Start(opInternal, nil)
		span.End()
		afterInner = one(t)
		checked <- struct{}{}
		<-proceed
		if Current() != nil {
			t.Error("the root has ended, but the context is still valid")
		}
		span = Start(opInternal, nil)
		span.End()
		afterRoot = one(t)
	}()
	innerID, rootTrace := inner.SpanID(), root.TraceID()
	<-checked
	inner.End()
	one(t)
	proceed <- struct{}{}
	<-checked
	root.End()
	one(t)
	proceed <- struct{}{}
	<-checked
	if inherited.parentSpanID != innerID || inherited.traceID != rootTrace {
		t.Error("not a child of what was inherited")
	}
	if afterInner.parentSpanID != innerID || afterInner.traceID != rootTrace {
		t.Error("not a child of the ended span although the root runs")
	}
	links := afterRoot.ofKind(itemLink)
	if afterRoot.parentSpanID != [8]byte{} || afterRoot.traceID == rootTrace || len(links) != 1 {
		t.Fatal("not a root with a link")
	}
	if links[0].text != string(rootTrace[:])+string(innerID[:]) {
		t.Error("the link does not point to what was inherited")
	}
}

// Work that outlives its request: a span of its own that runs is a parent, although its local root has ended meanwhile.
func TestRunningSpanOutlivesItsRoot(t *testing.T) {
	drain(t)
	root := Start(opServer, nil)
	kept := root.Capture()
	on(func() {
		Unset()
		call := Start(opInternal, kept)
		root.End()
		if Current() != call {
			t.Error("a span that runs is not current: its trace would not travel on")
		}
		nested := Start(opInternal, nil)
		if nested.TraceID() != call.TraceID() {
			t.Error("not one trace")
		}
		nested.End()
		call.End()
		if Current() != nil {
			t.Error("something is left in the slot")
		}
	})
	records := drain(t)
	if len(records) != 3 || records[1].parentSpanID != records[2].spanID {
		t.Fatalf("the nested span is not below the call: %d records", len(records))
	}
}

// Many generations of goroutines that each inherit and end do not keep each other's records.
func TestInheritedChainIsCollected(t *testing.T) {
	collected := make(chan struct{})
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	root := Start(opServer, nil)
	defer root.End()
	// The next record is a new one then: to one that was used before, spans of other tests may still point.
	Start(opInternal, nil).Capture().End()
	first := Start(opInternal, nil).Capture()
	runtime.SetFinalizer(first, func(*Span) { close(collected) })
	var generation func(depth int)
	generation = func(depth int) {
		span := Start(opInternal, nil)
		if depth > 0 {
			on(func() { generation(depth - 1) })
		}
		span.End()
	}
	on(func() {
		generation(1)
		Detach()
	})
	first.End()
	first = nil
	for attempt := 0; attempt < 100; attempt++ {
		runtime.GC()
		select {
		case <-collected:
			return
		case <-time.After(time.Millisecond):
		}
	}
	t.Error("an ended record is still held")
}

type contextOf struct{ span *Span }

func (c contextOf) Value(key any) any {
	if key == ContextKey {
		return c.span
	}
	return nil
}

// Explicit beats slot; but the slot's span wins where it descends from the explicit one and runs.
func TestExplicitParent(t *testing.T) {
	drain(t)
	parentOf := func(explicit *Span) [8]byte {
		span := Start(opInternal, explicit)
		span.End()
		return one(t).parentSpanID
	}
	root := Start(opServer, nil)
	other := StartDetached(opInternal, Ended([16]byte{1}, [8]byte{2}, true))
	child := Start(opInternal, nil)
	grandchild := Start(opInternal, nil)
	if FromContext(nil) != nil || FromContext(contextOf{}) != nil || FromContext(contextOf{other}) != other {
		t.Error("FromContext")
	}
	if parentOf(other) != other.SpanID() {
		t.Error("a span of another trace does not beat the slot")
	}
	if parentOf(root) != grandchild.SpanID() || parentOf(child) != grandchild.SpanID() {
		t.Error("an ancestor beats the closer span in the slot")
	}
	if Closest(root) != grandchild || Closest(other) != other {
		t.Error("Closest")
	}
	grandchild.End()
	one(t)
	if parentOf(root) != child.SpanID() {
		t.Error("an ended span in the way")
	}
	child.End()
	root.End()
	other.End()
	drain(t)
	if here().context != nil {
		t.Error("something is left in the slot")
	}
	kept := Ended([16]byte{9}, [8]byte{8}, true)
	span := Start(opInternal, kept)
	span.End()
	if got := one(t); got.traceID != [16]byte{9} || got.parentSpanID != [8]byte{8} {
		t.Error("a context that outlives its request gives no parent")
	}
}

// A detached span is nobody's current span, may end anywhere and has no anatomy.
func TestDetachedSpan(t *testing.T) {
	drain(t)
	root := Start(opServer, nil)
	stream := StartDetached(opInternal, nil)
	if Current() != root {
		t.Error("a detached span became current")
	}
	id := root.SpanID()
	root.End()
	on(func() { stream.End() })
	records := drain(t)
	if len(records) != 2 || records[1].parentSpanID != id || records[1].account != 0 || records[1].flags&recordFlagGoParts != 0 {
		t.Errorf("%d records", len(records))
	}
}

// A span that ends on another goroutine is recorded, without anatomy, and its record is not reused while a slot holds it.
func TestEndsElsewhere(t *testing.T) {
	drain(t)
	span := Start(opServer, nil)
	on(func() { span.End() })
	if got := one(t); got.flags&recordFlagGoParts != 0 || got.end == 0 {
		t.Error("measured on the wrong goroutine")
	}
	if Current() != nil {
		t.Error("an ended root is current")
	}
	next := Start(opServer, nil)
	if next == span {
		t.Error("a record that a slot holds is reused")
	}
	next.End()
	one(t)
	Detach()
}

// Resume, Unset, Ignore and their undoing.
func TestSlotTools(t *testing.T) {
	drain(t)
	span := Start(opServer, nil)
	previous := Unset()
	on(func() {
		if here().context != nil {
			t.Error("Unset let a goroutine inherit")
		}
	})
	Restore(previous)
	if Current() != span || span.captured != 0 {
		t.Error("Unset and Restore left a trace")
	}
	previous = Ignore()
	if !Muted() || Start(opServer, nil) != nil || StartRemote(opServer, "", "") != nil || StartDetached(opServer, nil) != nil || Current() != nil || Closest(span) != nil {
		t.Error("muted, but traced")
	}
	on(func() {
		if !Muted() {
			t.Error("a goroutine started while muted is not")
		}
	})
	Restore(previous)
	on(func() {
		Detach()
		previous := Resume(span)
		if Current() != span || LocalRoot(KindServer) != span || LocalRoot(KindClient) != nil {
			t.Error("Resume")
		}
		Restore(previous)
	})
	span.End()
	drain(t)
}

// LocalRoot finds the server span from within others, from other goroutines too, and writes to it safely.
func TestLocalRoot(t *testing.T) {
	drain(t)
	span := StartRemote(opServer, "", "")
	span.Str(KeyHTTPRoute, "/outer/")
	inner := Start(opInternal, nil)
	on(func() { LocalRoot(KindServer).Replace(KeyHTTPRoute, "/inner/{id}") })
	inner.End()
	span.Str(KeyURLPath, "/inner/1")
	span.End()
	records := drain(t)
	if route, _ := records[1].find(KeyHTTPRoute); route.text != "/inner/{id}" || len(records[1].ofKind(itemString)) != 2 {
		t.Errorf("%+v", records[1].items)
	}
	if LocalRoot(KindServer) != nil {
		t.Error("an ended root")
	}
}

// Goroutines that share a span, end it and start others at the same time neither corrupt a record nor lose one. With
// -race this is also the proof that rt does not look racy to others.
func TestSharedSpan(t *testing.T) {
	drain(t)
	const rounds, helpers = 200, 4
	spans := 0
	for round := 0; round < rounds; round++ {
		span := StartRemote(opServer, "", "")
		inner := Start(opInternal, nil)
		var ready, done sync.WaitGroup
		ready.Add(helpers)
		done.Add(helpers)
		for helper := 0; helper < helpers; helper++ {
			go func() {
				defer done.Done()
				ready.Done()
				for count := 0; count < 20; count++ {
					if root := LocalRoot(KindServer); root != nil {
						root.Replace(KeyHTTPRoute, "/some/route/{id}")
					}
					child := Start(opInternal, nil)
					child.Str(KeyURLPath, "/x")
					child.End()
				}
			}()
		}
		ready.Wait()
		inner.End()
		span.Str(KeyURLPath, "/y")
		span.End()
		done.Wait()
		got := drain(t)
		spans += len(got)
		for _, record := range got {
			for _, item := range record.items {
				if item.kind == itemString && item.text != "/x" && item.text != "/y" && item.text != "/some/route/{id}" {
					t.Fatalf("corrupt: %+v", record.items)
				}
			}
		}
	}
	if want := rounds * (2 + helpers*20); spans != want {
		t.Errorf("%d records instead of %d", spans, want)
	}
	if live := unfinished(t); len(live) != 0 {
		t.Errorf("%d entries are still live", len(live))
	}
}
