package rt

import "testing"

var (
	testAnnounced = NewOp("test.announced", "tandem/test", KindConsumer, "announced")
	testBelow     = NewOp("test.below", "tandem/test", KindInternal, "below")
)

// What is below an announced span has it as its parent, on every goroutine that has inherited it, until it is forgotten.
func TestAnnouncedIsAParent(t *testing.T) {
	before := Unset()
	defer Restore(before)
	trace, id := [16]byte{1, 15: 2}, [8]byte{3, 7: 4}
	span := Announce(testAnnounced, new(Incoming), trace, id)
	if span == nil {
		t.Skip("nothing is recorded here")
	}
	defer Restore(Resume(span))
	check := func(what string, child *Span, want bool) {
		t.Helper()
		parent, _ := child.ParentID()
		if is := child.TraceID() == trace && parent == id; is != want {
			t.Errorf("%s: %x below %x", what, child.TraceID(), parent)
		}
		child.End()
	}
	check("current", Start(testBelow, nil), true)
	check("explicit", Start(testBelow, span), true)
	inherited, forgotten := make(chan bool), make(chan bool)
	go func() {
		check("inherited", Start(testBelow, nil), true)
		inherited <- true
		<-forgotten
		check("forgotten", Start(testBelow, nil), false)
		inherited <- true
	}()
	<-inherited
	if Current() != span {
		t.Error("it is not current any more")
	}
	span.Str(KeyHTTPRoute, "/") // leaves it as it is
	span.SetError("no", "")
	span.End()
	if told := span.Tell(testAnnounced); told.SpanID() != id || told.TraceID() != trace || told.StandIn() {
		t.Errorf("%x %x", told.TraceID(), told.SpanID())
	} else {
		told.StartedAt(1, 1)
		told.End()
	}
	span.Forget()
	if Current() != nil {
		t.Error("it is current although it was forgotten")
	}
	forgotten <- true
	<-inherited
}

// It continues what came with it, and is announced again with the same ids and the same decision.
func TestAnnouncedContinues(t *testing.T) {
	if !Enabled() {
		t.Skip("nothing is recorded here")
	}
	id := [8]byte{3, 7: 4}
	for _, sampled := range []string{"00", "01"} {
		var in Incoming
		in.Catch("traceparent", []string{"00-0102030405060708090a0b0c0d0e0f10-1112131415161718-" + sampled})
		one, other := Announce(testAnnounced, &in, [16]byte{9}, id), Announce(testAnnounced, &in, [16]byte{8}, id)
		if one.Traceparent() != other.Traceparent() || one.Sampled() != (sampled == "01") || !in.Continues(one) {
			t.Errorf("%s, then %s", one.Traceparent(), other.Traceparent())
		}
		told := one.Tell(testAnnounced)
		if parent, remote := told.ParentID(); parent != [8]byte{0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18} || !remote {
			t.Errorf("below %x", parent)
		}
		told.End()
	}
	if Announce(testAnnounced, new(Incoming), [16]byte{}, id) != nil || Announce(testAnnounced, new(Incoming), [16]byte{1}, [8]byte{}) != nil {
		t.Error("an id of zeroes was taken")
	}
}
