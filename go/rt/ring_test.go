package rt

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// A ring that nobody drains takes what fits, drops and counts the rest without waiting, and what was dropped is in the
// counts. Afterwards nothing that was kept is damaged.
func TestFullRing(t *testing.T) {
	drain(t)
	clearSeries()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	before := dropped()
	text := strings.Repeat("x", 300)
	const spans = 20000
	started := time.Now()
	for count := 0; count < spans; count++ {
		span := Start(opServer, nil)
		span.Str(KeyURLPath, text)
		span.Str(KeyHTTPRoute, "/full")
		span.End()
	}
	if spent := time.Since(started); spent > 5*time.Second {
		t.Errorf("a full ring costs %v", spent)
	}
	lost := dropped() - before
	kept := drain(t)
	if lost == 0 || uint64(len(kept))+lost != spans {
		t.Errorf("%d kept and %d lost of %d", len(kept), lost, spans)
	}
	counts, _ := series(t)
	counted := uint64(0)
	for key, count := range counts {
		if !strings.Contains(key, "/full") || strings.Contains(key, "xxx") {
			t.Errorf("series %s", key)
		}
		counted += count
	}
	if counted != lost {
		t.Errorf("%d lost, %d counted", lost, counted)
	}
	for _, record := range kept {
		if path, _ := record.find(KeyURLPath); path.text != text {
			t.Fatal("a kept record is damaged")
		}
	}
	Start(opServer, nil).End()
	one(t)
}

// While the ring stays full no record is made: such a span is counted as dropped and in its series, still says that its
// trace is kept, and the next one is recorded again as soon as the agent has made room.
func TestNothingIsMadeForAFullRing(t *testing.T) {
	drain(t)
	clearSeries()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	text := strings.Repeat("x", 1000)
	for before := dropped(); dropped() == before; {
		span := Start(opServer, nil)
		span.Str(KeyURLPath, text)
		span.End()
	}
	clearSeries()
	before := dropped()
	span := Start(opServer, nil)
	if span.Recording() || !span.Sampled() {
		t.Errorf("recording %v, sampled %v", span.Recording(), span.Sampled())
	}
	span.Str(KeyHTTPRoute, "/unheard")
	if len(unfinished(t)) != 0 {
		t.Error("in flight")
	}
	span.End()
	counts, _ := series(t)
	counted := uint64(0)
	for _, count := range counts {
		counted += count
	}
	if dropped() != before+1 || counted != 1 {
		t.Errorf("%d dropped, %d counted, instead of one", dropped()-before, counted)
	}
	drain(t)
	Start(opServer, nil).End()
	one(t)
}

// What is counted has the length that it had.
func TestCountedDuration(t *testing.T) {
	drain(t)
	clearSeries()
	sample(t, "always_off", "")
	Start(opInternal, nil).End() // leaves the entry with times of its own
	clearSeries()
	const pause = 3 * time.Millisecond
	started := time.Now()
	span := Start(opInternal, nil)
	time.Sleep(pause)
	span.End()
	spent := time.Since(started)
	sum := uint64(0)
	for index := range processors {
		for place := uint32(0); place < seriesCount; place++ {
			sum += processors[index].seriesAt(place).sum
		}
	}
	if sum < uint64(pause) || sum > uint64(spent) {
		t.Errorf("a span of %v to %v was counted with %v", pause, spent, time.Duration(sum))
	}
}

// Records of all sizes cross the ring's end without loss; each lap is padded (drain checks where).
func TestRingWraps(t *testing.T) {
	drain(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	before, text := dropped(), strings.Repeat("y", entrySize)
	got := 0
	const spans = 30000
	for count := 0; count < spans; count++ {
		span := Start(opInternal, nil)
		span.Str(KeyURLPath, text[:(count*37)%1500])
		span.End()
		if count%300 == 0 {
			got += len(drain(t))
		}
	}
	got += len(drain(t))
	if got != spans || dropped() != before {
		t.Errorf("%d of %d arrived, %d dropped", got, spans, dropped()-before)
	}
}

// An agent that writes nonsense into its end of the ring costs spans, and only that.
func TestNonsenseTail(t *testing.T) {
	drain(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	number := procPin()
	procUnpin()
	own := &processors[number]
	for _, nonsense := range []uint64{own.head + 1, own.head + 1<<40, ^uint64(0), own.head - 2*ringSize} {
		own.ring.tail, own.tail = nonsense, nonsense
		Start(opInternal, nil).End()
	}
	own.ring.tail, own.tail = own.head, own.head
	Start(opInternal, nil).End()
	one(t)
}

// Spans that are not sampled are counted by operation, status and metric keys; their buckets add up.
func TestSeries(t *testing.T) {
	drain(t)
	clearSeries()
	sample(t, "always_off", "")
	for count := 0; count < 100; count++ {
		span := StartRemote(opServer, "", "")
		if span.Sampled() || span.Recording() || span.TraceID() == [16]byte{} {
			t.Fatal("sampled")
		}
		span.Str(KeyHTTPRequestMethod, "GET")
		span.Str(KeyURLPath, "/must/not/be/a/dimension")
		span.Str(KeyHTTPRoute, "/outer")
		span.Replace(KeyHTTPRoute, "/r")
		if count%10 == 0 {
			span.SetError("500", "message")
		}
		if len(unfinished(t)) != 0 {
			t.Fatal("in flight although not sampled")
		}
		span.End()
	}
	if len(drain(t)) != 0 {
		t.Error("records of spans that are not sampled")
	}
	counts, overflowed := series(t)
	sum := map[bool]uint64{}
	for key, count := range counts {
		if strings.Contains(key, "must") || strings.Contains(key, "outer") || !strings.Contains(key, "/r") {
			t.Errorf("series %s", key)
		}
		sum[strings.Contains(key, "500")] += count
	}
	if sum[false] != 90 || sum[true] != 10 || overflowed != 0 {
		t.Errorf("%v, %d overflowed", counts, overflowed)
	}
}

// What does not find room in the table is counted in series 0: no span is lost from the sum.
func TestSeriesOverflow(t *testing.T) {
	clearSeries()
	defer clearSeries()
	sample(t, "always_off", "")
	const routes = 3 * seriesCount
	for count := 0; count < routes; count++ {
		span := Start(opServer, nil)
		span.Str(KeyHTTPRoute, strings.Repeat("r", count%100)+string(rune('a'+count%26))+strings.Repeat("s", count/100))
		span.End()
	}
	counts, overflowed := series(t)
	sum := overflowed
	for _, count := range counts {
		sum += count
	}
	if sum != routes || overflowed == 0 {
		t.Errorf("%d of %d counted, %d of them overflowed", sum, routes, overflowed)
	}
}

// A label that does not fit is left out rather than cut.
func TestLongLabel(t *testing.T) {
	clearSeries()
	defer clearSeries()
	sample(t, "always_off", "")
	span := Start(opServer, nil)
	span.Str(KeyHTTPRequestMethod, "GET")
	span.Str(KeyHTTPRoute, strings.Repeat("r", 200))
	span.Int(KeyHTTPResponseStatusCode, 200)
	span.End()
	counts, _ := series(t)
	for key := range counts {
		if strings.Contains(key, "rrr") || !strings.Contains(key, "GET") {
			t.Errorf("series %s", key)
		}
	}
}

func TestBuckets(t *testing.T) {
	for bucket, bound := range bucketBounds {
		if bucketOf(bound) != bucket || bucketOf(bound+1) != bucket+1 {
			t.Errorf("bound %d", bound)
		}
	}
	if bucketOf(0) != 0 || bucketOf(^uint64(0)) != bucketCount-1 {
		t.Error("the ends")
	}
}

// When the in-flight table is full, spans go on from the heap: recorded, counted as not crash-safe, and afterwards the
// table serves again.
func TestFullTable(t *testing.T) {
	drain(t)
	const spans = entryCount + 500
	running := make([]*Span, spans)
	lost := control.lostEntries
	for count := range running {
		running[count] = StartDetached(opInternal, nil)
		running[count].Int(keyOwn, int64(count))
	}
	if got := control.lostEntries - lost; got < 500 {
		t.Errorf("%d spans found the table full", got)
	}
	if live := len(unfinished(t)); live < entryCount-1000 || live > entryCount {
		t.Errorf("%d entries are live", live)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	got := 0
	for count, span := range running {
		span.End()
		if count%1000 == 0 {
			got += len(drain(t))
		}
	}
	got += len(drain(t))
	if got != spans || len(unfinished(t)) != 0 {
		t.Errorf("%d of %d arrived", got, spans)
	}
	lost = control.lostEntries
	for count := 0; count < 1000; count++ {
		running[count] = StartDetached(opInternal, nil)
	}
	for count := 0; count < 1000; count++ {
		running[count].End()
	}
	drain(t)
	if control.lostEntries != lost {
		t.Error("the table does not serve again")
	}
}
