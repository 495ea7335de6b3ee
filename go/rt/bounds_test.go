package rt

import (
	"internal/race"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Bad use: a program must not notice, whatever it does.

// A span that others hold ends once, however often End is called, on whatever goroutines.
func TestEndedTwice(t *testing.T) {
	drain(t)
	clearSeries()
	span := Start(opInternal, nil).Capture()
	var group sync.WaitGroup
	for count := 0; count < 8; count++ {
		group.Add(1)
		go func() {
			defer group.Done()
			Unset()
			span.Str(KeyURLPath, "/late")
			span.End()
			span.End()
			span.Str(KeyURLPath, "/later")
			span.SetError("late", "late")
			span.EndError(nil)
		}()
	}
	group.Wait()
	span.End()
	Restore(nil)
	records := drain(t)
	counts, _ := series(t)
	if len(records) != 1 || len(counts) != 0 {
		t.Errorf("%d records and %v instead of one", len(records), counts)
	}
	if live := unfinished(t); len(live) != 0 {
		t.Errorf("%d entries are still live", len(live))
	}
}

// A span that nobody ends stays in flight, and takes nothing else with it.
func TestNeverEnded(t *testing.T) {
	drain(t)
	before := len(unfinished(t))
	var left []*Span
	for count := 0; count < 10; count++ {
		left = append(left, Start(opServer, nil))
		Unset()
	}
	if live := len(unfinished(t)) - before; live != 10 {
		t.Errorf("%d spans in flight", live)
	}
	span := Start(opServer, nil)
	if span.parent != nil {
		t.Error("a child of a span that was taken out of the slot")
	}
	span.End()
	one(t)
	for _, span := range left { // for the other tests' sake
		span.End()
	}
	drain(t)
}

// Attributes of any size, with any bytes, as many as anybody likes: the record is sound, and what found no room is counted.
func TestAnyAttribute(t *testing.T) {
	drain(t)
	texts := []string{"", "\x00", "\xff\xfe", "ä\xc3", strings.Repeat("\x80", 5000), strings.Repeat("x", 1<<20), "a\u0000b", "\xed\xa0\x80"}
	for _, sampler := range []string{"always_on", "always_off"} {
		sample(t, sampler, "")
		for round := 0; round < 50; round++ {
			cut := atomic.LoadUint64(&control.cutAttributes)
			span := Start(opServer, nil)
			for index := 0; index < 400; index++ {
				text := texts[(index+round)%len(texts)]
				switch index % 8 {
				case 0:
					span.Str(keyOwn, text)
				case 1:
					span.Int(KeyServerPort, int64(index))
				case 2:
					span.Float(keyOwn, float64(index))
				case 3:
					span.Bool(keyOwn, true)
				case 4:
					span.Replace(KeyHTTPRoute, text)
				case 5:
					span.Join(KeyURLFull, text, text, text)
				case 6:
					span.Event(KeyException)
					span.EventStr(KeyExceptionMessage, text)
					span.EventEnd()
				case 7:
					span.Link(&span.trace, &span.id)
					span.SetError(text, text)
					span.SetName(text)
				}
			}
			span.End()
			records := drain(t)
			if sampler == "always_on" && (len(records) != 1 || records[0].flags&recordFlagCut == 0) {
				t.Fatalf("%d records; cut, but not said so", len(records))
			}
			if sampler == "always_off" && len(records) != 0 {
				t.Fatal("a record of a span that is not sampled")
			}
			if atomic.LoadUint64(&control.cutAttributes) == cut {
				t.Fatal("not counted")
			}
		}
	}
}

// A million spans at once: as many records as the table has and as many again, the others are counted; memory stays
// bounded, parents right, and when they have ended all is as before.
func TestMillionLiveSpans(t *testing.T) {
	if testing.Short() || race.Enabled {
		t.Skip("it takes half a gigabyte, and under the race detector several")
	}
	drain(t)
	clearSeries()
	const live = 1_000_000
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	lost := atomic.LoadUint64(&control.lostEntries)
	heap := atomic.LoadInt32(&heapEntries)
	root := Start(opServer, nil)
	spans := make([]*Span, live)
	for index := range spans {
		spans[index] = StartDetached(opInternal, root)
		spans[index].Str(KeyHTTPRequestMethod, "GET")
		spans[index].Str(KeyURLPath, "/of/no/use")
	}
	runtime.ReadMemStats(&during)
	perSpan := (during.HeapAlloc - before.HeapAlloc) / live
	if perSpan > 700 {
		t.Errorf("%d bytes a span", perSpan)
	}
	if now := atomic.LoadUint64(&control.lostEntries); now-lost < live-entryCount {
		t.Errorf("%d of them counted", now-lost)
	}
	recorded := 0
	for _, span := range spans {
		if span.parentID != root.number() || span.trace != root.trace || !span.Sampled() {
			t.Fatal("a wrong parent")
		}
		if span.Recording() {
			recorded++
		}
		span.End()
		if recorded%64 == 0 {
			catchUp()
		}
	}
	root.End()
	if recorded < heapEntryLimit || recorded > entryCount+heapEntryLimit {
		t.Errorf("%d were recorded", recorded)
	}
	if now := atomic.LoadInt32(&heapEntries); now != heap {
		t.Errorf("%d entries on the heap, %d before", now, heap)
	}
	drain(t)
	counted := uint64(0)
	counts, _ := series(t)
	for _, count := range counts {
		counted += count
	}
	if counted < live-uint64(recorded) {
		t.Errorf("%d counted, %d recorded", counted, recorded)
	}
	span := Start(opServer, nil)
	if !span.Recording() {
		t.Error("there is room again, but it is not used")
	}
	span.End()
	drain(t)
	clearSeries()
}
