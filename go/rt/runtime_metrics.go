package rt

import (
	"sync/atomic"
	"unsafe"
)

// The Go runtime's metrics, as the semantic conventions for Go name them. They are made of what runtime/metrics reads,
// which the runtime keeps anyway; a reading stops nothing, allocates nothing and takes a few microseconds.

// runtimeSample is runtime/metrics.Sample.
type runtimeSample struct {
	name  string
	value struct {
		kind    int
		scalar  uint64
		pointer unsafe.Pointer
	}
}

// The kinds of values that are looked at.
const (
	sampleUint64    = 1
	sampleHistogram = 3
)

// sampleHistogramLayout is runtime/metrics.Float64Histogram. buckets has one element more than counts.
type sampleHistogramLayout struct {
	counts  []uint64
	buckets []float64
}

// noLimit is what the runtime says when there is no memory limit.
const noLimit = 1<<63 - 1

// Numbers of the samples.
const (
	sampleTotal = iota
	sampleReleased
	sampleStacks
	sampleLimit
	sampleAllocated
	sampleAllocations
	sampleGoal
	sampleGoroutines
	sampleProcessors
	sampleGOGC
	sampleLatencies
	sampleCount
)

var (
	// runtimeMetrics is used by whoever has raised runtimeObserved.
	runtimeMetrics  runtimeInstruments
	runtimeObserved uint32
)

type runtimeInstruments struct {
	samples     [sampleCount]runtimeSample
	stack       *Instrument
	other       *Instrument
	limit       *Instrument // nil while there is no limit
	allocated   *Instrument
	allocations *Instrument
	goal        *Instrument
	goroutines  *Instrument
	processors  *Instrument
	gogc        *Instrument
	latencies   *Instrument
	begun       bool
}

// observeRuntime is an observer.
func observeRuntime() {
	if !atomic.CompareAndSwapUint32(&runtimeObserved, 0, 1) {
		return // somebody is at it
	}
	defer release(&runtimeObserved)
	m := &runtimeMetrics
	if !m.begun {
		m.begin()
	}
	runtime_readMetrics(unsafe.Pointer(&m.samples), sampleCount, sampleCount)
	m.stack.Set(m.number(sampleStacks))
	m.other.Set(m.number(sampleTotal) - m.number(sampleReleased) - m.number(sampleStacks))
	m.allocated.Set(m.number(sampleAllocated))
	m.allocations.Set(m.number(sampleAllocations))
	m.goal.Set(m.number(sampleGoal))
	m.goroutines.Set(m.number(sampleGoroutines))
	m.processors.Set(m.number(sampleProcessors))
	m.gogc.Set(m.number(sampleGOGC))
	switch limit := m.number(sampleLimit); {
	case limit == noLimit:
		m.limit.Free()
		m.limit = nil
	case m.limit == nil:
		m.limit = observed(UpDown, "go.memory.limit", "By", "Go runtime memory limit configured by the user, if a limit exists.", "")
		fallthrough
	default:
		m.limit.Set(limit)
	}
	m.observeLatencies()
}

func (m *runtimeInstruments) begin() {
	m.begun = true
	for index, name := range [sampleCount]string{
		sampleTotal:       "/memory/classes/total:bytes",
		sampleReleased:    "/memory/classes/heap/released:bytes",
		sampleStacks:      "/memory/classes/heap/stacks:bytes",
		sampleLimit:       "/gc/gomemlimit:bytes",
		sampleAllocated:   "/gc/heap/allocs:bytes",
		sampleAllocations: "/gc/heap/allocs:objects",
		sampleGoal:        "/gc/heap/goal:bytes",
		sampleGoroutines:  "/sched/goroutines:goroutines",
		sampleProcessors:  "/sched/gomaxprocs:threads",
		sampleGOGC:        "/gc/gogc:percent",
		sampleLatencies:   "/sched/latencies:seconds",
	} {
		m.samples[index].name = name
	}
	const used = "Memory used by the Go runtime."
	m.stack = observed(UpDown, "go.memory.used", "By", used, "go.memory.type=stack")
	m.other = observed(UpDown, "go.memory.used", "By", used, "go.memory.type=other")
	m.allocated = observed(Counter, "go.memory.allocated", "By", "Memory allocated to the heap by the application.", "")
	m.allocations = observed(Counter, "go.memory.allocations", "{allocation}", "Count of allocations to the heap by the application.", "")
	m.goal = observed(UpDown, "go.memory.gc.goal", "By", "Heap size target for the end of the GC cycle.", "")
	m.goroutines = observed(UpDown, "go.goroutine.count", "{goroutine}", "Count of live goroutines.", "")
	m.processors = observed(UpDown, "go.processor.limit", "{thread}", "The number of OS threads that can execute user-level Go code simultaneously.", "")
	m.gogc = observed(UpDown, "go.config.gogc", "%", "Heap size target percentage configured by the user, otherwise 100.", "")
}

func observed(kind InstrumentKind, name, unit, description, attributes string) *Instrument {
	return NewObserved(kind, &About{Scope: "tandem/runtime", Name: name, Unit: unit, Description: description, Attributes: attributes})
}

// number is a sample's value; what this Go version does not know is 0.
func (m *runtimeInstruments) number(index int) int64 {
	if value := &m.samples[index].value; value.kind == sampleUint64 {
		return int64(value.scalar)
	}
	return 0
}

// observeLatencies copies the runtime's histogram of the time that goroutines wait for a processor. Of the runtime's
// bounds those are kept that are at least twice the one before. The runtime keeps no sum: it is estimated.
func (m *runtimeInstruments) observeLatencies() {
	value := &m.samples[sampleLatencies].value
	if value.kind != sampleHistogram || value.pointer == nil {
		return
	}
	theirs := (*sampleHistogramLayout)(value.pointer)
	if len(theirs.counts) == 0 || len(theirs.buckets) != len(theirs.counts)+1 {
		return
	}
	if m.latencies == nil {
		var bounds []float64
		last := 0.0
		for _, bound := range theirs.buckets[1 : len(theirs.buckets)-1] {
			if keeps(bound, last) {
				bounds, last = append(bounds, bound), bound
			}
		}
		about := About{Scope: "tandem/runtime", Name: "go.schedule.duration", Unit: "s", Description: "The time goroutines have spent in the scheduler in a runnable state before actually running."}
		if m.latencies = NewHistogram(&about, bounds); m.latencies == nil {
			m.latencies = &Instrument{place: new(instrumentLayout)} // no room: once is enough
		}
		m.latencies.place.flags |= instrumentFlagObserved
	}
	var (
		sum, last float64
		ours      int
		inBucket  uint64
	)
	for index, more := range theirs.counts {
		inBucket += more
		low, high := theirs.buckets[index], theirs.buckets[index+1]
		switch {
		case low < 0:
			low = 0 // -Inf
			if high < 0 {
				high = 0
			}
		case index == len(theirs.counts)-1:
			high = low // +Inf
		}
		sum += float64(more) * (low + high) / 2
		if index < len(theirs.counts)-1 && !keeps(theirs.buckets[index+1], last) {
			continue
		}
		last = theirs.buckets[index+1]
		if ours < len(m.latencies.buckets) {
			atomic.StoreUint64(&m.latencies.buckets[ours].count, inBucket)
		}
		ours++
		inBucket = 0
	}
	atomic.StoreUint64(&m.latencies.place.value, *(*uint64)(unsafe.Pointer(&sum)))
}

// longest is above the last bound that is kept.
const longest = 100

// keeps says whether a bound of the runtime's is one of ours.
func keeps(bound, last float64) bool { return bound > 0 && bound >= 2*last && bound < longest }
