package rt

import (
	"strings"
	"testing"
)

var testManual = NewManualOp("tracer", "1.0", "", KindInternal)

// clean leaves nothing to the next test.
func clean(t *testing.T) {
	t.Helper()
	drain(t)
	before := Unset()
	t.Cleanup(func() {
		Restore(before)
		drain(t)
	})
}

func manualText(key, value string) []byte {
	items, start := AppendAttribute(nil, key)
	return EndItem(AppendString(items, value), start)
}

func manualEvent(name string) []byte { return EndGroup(AppendEvent(nil, name, 0, false)) }

// TestManualOperations: equal tracers share an operation.
func TestManualOperations(t *testing.T) {
	if same := NewManualOp("tracer", "1.0", "", KindInternal); same.id != testManual.id {
		t.Error("a tracer is registered twice")
	}
	if other := NewManualOp("tracer", "1.1", "", KindInternal); other.id == testManual.id {
		t.Error("two versions are one")
	}
}

// TestManualParents: what the context says goes; of the slot only what is woven counts.
func TestManualParents(t *testing.T) {
	clean(t)
	server := StartRemote(opServer, "", "")
	defer server.End()
	first := StartManual(testManual, nil, false, false)
	second := StartManual(testManual, nil, false, false)
	if first.parentID != server.number() || second.parentID != server.number() {
		t.Error("what is made by hand without a context is no child of the woven span")
	}
	if woven := Start(opInternal, nil); woven.parentID != second.number() {
		t.Error("a woven span is no child of the current one")
	} else {
		inside := StartManual(testManual, server, false, false)
		if inside.parentID != woven.number() {
			t.Error("inside of a woven operation it is not that one's child")
		}
		inside.End()
		woven.End()
	}
	if woven := Start(opInternal, first); woven.parentID != first.number() {
		t.Error("the context does not win")
	} else {
		woven.End()
	}
	if Current() != second {
		t.Error("the slot does not hold the last one")
	}
	second.End()
	if Current() != server {
		t.Error("a sibling is still on the slot")
	}
	first.End()
	if root := StartManual(testManual, server, true, false); root.parentID != 0 || root.trace == server.trace {
		t.Error("a root on purpose has a parent")
	} else {
		root.End()
	}
}

// TestManualNeverEnds: spans that never end neither pile up on the slot nor become parents.
func TestManualNeverEnds(t *testing.T) {
	clean(t)
	for count := 0; count < 100; count++ {
		span := StartManual(testManual, nil, false, false)
		if span.parentID != 0 || span.previous != nil {
			t.Fatal("it is below one that never ended")
		}
		t.Cleanup(span.End)
	}
}

// TestManualEndsElsewhere: a span that another goroutine ended is nobody's parent.
func TestManualEndsElsewhere(t *testing.T) {
	clean(t)
	span := StartManual(testManual, nil, false, false)
	done := make(chan bool)
	go func() { span.End(); close(done) }()
	<-done
	if woven := Start(opInternal, nil); woven.parentID != 0 {
		t.Error("a span that has ended is a parent")
	} else {
		woven.End()
	}
}

// TestAppendReplaces: of a key the last value counts, whatever form the earlier ones had, but not those of events.
func TestAppendReplaces(t *testing.T) {
	clean(t)
	span := StartManual(testManual, nil, false, false)
	defer span.End()
	base := span.used
	span.Append(manualText("key", "a long first value"))
	one := span.used
	event := append(AppendEvent(nil, "event", 0, false), manualText("key", "of the event")...)
	span.Append(EndGroup(event))
	withEvent := span.used
	span.Append(manualText("key", "a long other value"))
	if span.used != withEvent || one == base {
		t.Errorf("the record has %d bytes instead of %d", span.used, withEvent)
	}
	span.Str(KeyHTTPRoute, "/woven")
	before := span.used
	short, done := AppendShort(nil, "http.route", "/other")
	if !done {
		t.Fatal("a well-known key has no short form")
	}
	span.Append(short)
	if span.used != before {
		t.Error("the woven attribute was not replaced")
	}
	if count := span.manual.attributes; count != 1 {
		t.Errorf("%d attributes are counted that were set by hand", count)
	}
}

// TestAppendLimits: what goes beyond them is counted.
func TestAppendLimits(t *testing.T) {
	clean(t)
	span := StartManual(testManual, nil, false, false)
	defer span.End()
	for count := 0; count < EventLimit+3; count++ {
		span.Append(manualEvent("event"))
	}
	for count := 0; count < AttributeLimit+2; count++ {
		span.Append(manualText("key"+strings.Repeat("x", count), "value"))
	}
	if span.manual.dropped != [3]uint32{2, 3, 0} {
		t.Errorf("dropped: %v", span.manual.dropped)
	}
}

// TestAppendGrows: a record moves to the heap when its entry is full, up to a limit, and the next span has its entry again.
func TestAppendGrows(t *testing.T) {
	clean(t)
	span := StartManual(testManual, nil, false, false)
	entry := span.entry
	for count := 0; count < 100; count++ {
		span.Append(manualText("key"+strings.Repeat("k", count), strings.Repeat("v", 1000)))
	}
	if span.used < recordLimit*3/4 || span.used > recordLimit {
		t.Errorf("the record has %d bytes", span.used)
	}
	if (*recordLayout)(entry).size == 0 {
		t.Error("a crash would not show the span")
	}
	if (*recordLayout)(span.entry).flags&recordFlagCut == 0 {
		t.Error("that it is cut is not said")
	}
	span.End()
	if (*recordLayout)(entry).size != 0 {
		t.Error("the entry was not freed")
	}
	if next := Start(opInternal, nil); next.entry == nil || next.manual.table != nil {
		t.Error("the next span has not its entry")
	} else {
		next.End()
	}
}

// TestMirror: the ids are those that were given; what travels on is the other tracer's decision, what is recorded is ours.
func TestMirror(t *testing.T) {
	clean(t)
	trace, id := [16]byte{1}, [8]byte{2}
	mirror := StartMirror(testManual, nil, &trace, &id, false, false)
	defer mirror.End()
	if mirror.TraceID() != trace || mirror.SpanID() != id || !mirror.Recording() || mirror.Sampled() {
		t.Error("it is not as it was asked for")
	}
	child := Start(opInternal, nil)
	defer child.End()
	if child.TraceID() != trace || child.parentID != mirror.number() || !child.Recording() || child.Sampled() {
		t.Error("its child is not as it is")
	}
	if header := child.Traceparent(); header[len(header)-2:] != "00" {
		t.Errorf("on travels %s", header)
	}
	if sampled, known, remote := child.Decision(); sampled || !known || remote {
		t.Error("the other tracer's decision is not known")
	}
}

// TestTwin: an operation that a span made by hand stands for gets no span of its own below it.
func TestTwin(t *testing.T) {
	clean(t)
	span := StartManual(testManual, nil, false, false)
	defer span.End()
	span.StandFor(opInternal.id)
	if Start(opInternal, nil) != nil || StartDetached(opInternal, span) != nil {
		t.Error("there are two")
	}
	if other := Start(opServer, nil); other == nil || other.parentID != span.number() {
		t.Error("another operation has no span")
	} else {
		other.End()
	}
}
