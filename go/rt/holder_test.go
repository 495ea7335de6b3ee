package rt

import (
	"fmt"
	"sync"
	"testing"
)

// hold starts a span of what came in and puts it in a holder.
func hold(lines ...string) (*Holder, *Span) {
	holder, span := new(Holder), StartIncoming(opServer, incomingOf(lines...))
	holder.Hold(span)
	return holder, span
}

// A holder shows the span, then what is left of it, to children and headers alike.
func TestHolder(t *testing.T) {
	propagateBy(t, "tracecontext,baggage,b3")
	defer drain(t)
	for _, lines := range [][]string{
		nil,
		{"traceparent: " + goodTraceparent},
		{"traceparent: " + goodTraceparent, "tracestate: a=b"},
		{"traceparent: " + goodTraceparent, "tracestate: c=d", "baggage: a=b"},
		{"b3: " + goodTrace + "-" + goodSpan + "-d", "baggage: a=b"},
	} {
		holder, span := hold(lines...)
		var ids IDs
		if holder.Show(&ids) != span {
			t.Error(lines, ": another span while it runs")
		}
		want, trace, id, extra := fmt.Sprint(outgoingOf(span)), span.TraceID(), span.SpanID(), span.extra
		holder.Release(span, &ids)
		span.End()
		other := StartIncoming(opServer, incomingOf()) // has the record now
		later := holder.Show(&ids)
		if got := fmt.Sprint(outgoingOf(later)); got != want || !later.StandIn() {
			t.Errorf("%v: %s instead of %s", lines, got, want)
		}
		child := StartDetached(opInternal, later)
		if child.TraceID() != trace || child.parentID != (&Span{id: id}).number() || child.extra != extra {
			t.Error(lines, ": the child has not taken everything over")
		}
		child.End()
		other.End()
	}
}

// A span that somebody captured stays itself.
func TestHolderCaptured(t *testing.T) {
	defer drain(t)
	holder, span := hold()
	span.Capture()
	var ids IDs
	holder.Release(span, &ids)
	span.End()
	if holder.Show(&ids) != span {
		t.Error("the record is gone")
	}
}

// Who asks while the span is released gets the right ids, whatever has become of the record.
func TestHolderWhileReleased(t *testing.T) {
	for _, line := range []string{"tracestate: a=b", "tracestate: "} {
		for round := 0; round < 2000; round++ {
			holder, span := hold("traceparent: "+goodTraceparent, line)
			var ids IDs
			id := span.SpanID()
			var askers sync.WaitGroup
			askers.Add(1)
			go func() {
				defer askers.Done()
				for count := 0; count < 5; count++ {
					if shown := holder.Show(&ids); shown.SpanID() != id {
						t.Error("another span")
					}
				}
			}()
			holder.Release(span, &ids)
			span.End()
			StartIncoming(opServer, incomingOf()).End()
			askers.Wait()
			if round%100 == 0 {
				drain(t)
			}
		}
	}
	drain(t)
}

// Holding and releasing costs nothing, nor does a tracestate that many have.
func TestHolderAllocations(t *testing.T) {
	for _, lines := range [][]string{nil, {"traceparent: " + goodTraceparent, "tracestate: ot=th:0"}} {
		incoming := incomingOf(lines...)
		var holder Holder
		var ids IDs
		if got := testing.AllocsPerRun(100, func() {
			span := StartIncoming(opServer, incoming)
			holder.Hold(span)
			holder.Release(span, &ids)
			span.End()
		}); got != 0 {
			t.Error(lines, ":", got, "allocations")
		}
		drain(t)
	}
}
