package rt

import (
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func (i *Instrument) read() (value uint64, counts []uint64) {
	for index := range i.buckets {
		counts = append(counts, atomic.LoadUint64(&i.buckets[index].count))
	}
	return atomic.LoadUint64(&i.place.value), counts
}

// Numbers and histograms hold what was recorded, and recording allocates nothing.
func TestInstruments(t *testing.T) {
	number := NewInstrument(UpDown, &About{Scope: "test", Name: "test.number", Unit: "{thing}", Attributes: "a=b\nc=d"})
	times := NewHistogram(&About{Scope: "test", Name: "test.times", Unit: "s"}, []float64{0.001, 0.1})
	if number == nil || times == nil {
		t.Fatal("no room")
	}
	if allocated := testing.AllocsPerRun(100, func() { number.Add(3); number.Add(-1); times.Record(1e6) }); allocated != 0 {
		t.Errorf("%v allocations", allocated)
	}
	number.Set(40)
	number.Add(2)
	if value, _ := number.read(); value != 42 {
		t.Errorf("number %d", value)
	}
	times.Record(2e6)
	times.Record(-5)
	times.Record(3e9)
	value, counts := times.read()
	if counts[0] != 102 || counts[1] != 1 || counts[2] != 1 { // a bound belongs to the bucket below it
		t.Errorf("counts %v", counts)
	}
	if sum := math.Float64frombits(value); math.Abs(sum-3.103) > 1e-9 {
		t.Errorf("sum %v", sum)
	}
	text := string(number.place.text[:])
	if !strings.HasPrefix(text, "test.number{thing}testa=b\nc=d") {
		t.Errorf("text %q", text[:40])
	}
	number.Free()
	times.Free()
}

// A place that was freed is used again, with its buckets, and nobody takes the new series for the old one.
func TestInstrumentsAreUsedAgain(t *testing.T) {
	about := &About{Scope: "test", Name: "test.again", Unit: "s"}
	first := NewHistogram(about, []float64{1, 2, 3, 4, 5})
	first.Record(1)
	state := first.place.state
	first.Free()
	buckets := control.bucketCount
	second := NewHistogram(about, []float64{1, 2, 3, 4, 6})
	if second.place != first.place || control.bucketCount != buckets || second.place.state == state {
		t.Errorf("another place, more buckets or the old state")
	}
	if _, counts := second.read(); counts[0] != 0 {
		t.Errorf("counts of the series before: %v", counts)
	}
	second.Free()
	var none *Instrument
	none.Add(1)
	none.Set(1)
	none.Record(1)
	none.Free()
}

// The table has an end: what does not fit is nil, and counted.
func TestInstrumentsAreBounded(t *testing.T) {
	var all []*Instrument
	lost := atomic.LoadUint64(&control.lostNames)
	for {
		made := NewInstrument(Counter, &About{Scope: "test", Name: "test.bounded"})
		if made == nil {
			break
		}
		all = append(all, made)
	}
	if len(all) > instrumentCount || atomic.LoadUint64(&control.lostNames) != lost+1 {
		t.Errorf("%d instruments", len(all))
	}
	for _, each := range all {
		each.Free()
	}
}

// With an agent there, the runtime's numbers are brought up to date; without one, nothing runs. The goroutine that does it is
// counted by nobody.
func TestRuntimeMetrics(t *testing.T) {
	before := runtime.NumGoroutine()
	if runtime_monitor(&control.heartbeat, observe) != true {
		t.Fatal("no monitor")
	}
	if after := runtime.NumGoroutine(); after != before {
		t.Errorf("%d goroutines, then %d", before, after)
	}
	atomic.StoreUint64(&control.heartbeat, 0)
	observe()
	heap := runtimeMetrics.allocated.place
	if value := atomic.LoadUint64(&heap.value); value == 0 {
		t.Error("nothing was ever allocated")
	}
	if runtimeMetrics.latencies == nil || len(runtimeMetrics.latencies.buckets) > 48 {
		t.Error("no latencies, or too many buckets")
	}
	var ours, theirs uint64
	for index := range runtimeMetrics.latencies.buckets {
		ours += runtimeMetrics.latencies.buckets[index].count
	}
	for _, count := range (*sampleHistogramLayout)(runtimeMetrics.samples[sampleLatencies].value.pointer).counts {
		theirs += count
	}
	if ours != theirs || ours == 0 {
		t.Errorf("%d latencies, the runtime has %d", ours, theirs)
	}
	read := atomic.LoadUint64(&control.instrumentsRead)
	stop := make(chan struct{})
	go func() { // an agent
		for {
			atomic.StoreUint64(&control.heartbeat, uint64(nanotime()))
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	for deadline := time.Now().Add(time.Minute); atomic.LoadUint64(&control.instrumentsRead) == read; {
		if time.Now().After(deadline) {
			t.Fatal("nobody brings the numbers up to date")
		}
		time.Sleep(10 * time.Millisecond)
	}
	close(stop)
	atomic.StoreUint64(&control.heartbeat, 0)
}

func BenchmarkObserve(b *testing.B) {
	b.ReportAllocs()
	for index := 0; index < b.N; index++ {
		observe()
	}
}

func BenchmarkRecord(b *testing.B) {
	times := NewHistogram(&About{Scope: "test", Name: "test.bench", Unit: "s"}, []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10})
	defer times.Free()
	b.ReportAllocs()
	for index := 0; index < b.N; index++ {
		times.Record(int64(index) & 0xffffff)
	}
}
