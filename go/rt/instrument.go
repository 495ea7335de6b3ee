package rt

import (
	"sync/atomic"
	"unsafe"
)

// Metrics that the program keeps itself: numbers and histograms in the shared memory, from where the agent takes them
// when somebody asks. A number is either counted as things happen, or observed: brought up to date by a function that
// runs about once a second, and only while an agent is there.

// Instrument is one series of a metric. Every method works on nil, which is what there is where nothing is recorded, or
// when the table is full.
type Instrument struct {
	place   *instrumentLayout
	buckets []bucketLayout
}

// InstrumentKind is what a number means.
type InstrumentKind uint32

// The kinds of instruments.
const (
	// Counter only rises.
	Counter InstrumentKind = instrumentCounter
	// UpDown is a sum that goes up and down: added up over several programs it makes sense.
	UpDown InstrumentKind = instrumentUpDown
	// Gauge is a number of which sums make no sense.
	Gauge InstrumentKind = instrumentGauge
	// Histogram counts numbers by their size.
	Histogram InstrumentKind = instrumentHistogram
)

// About says what a series is.
type About struct {
	// Scope is its name; with a version or the URL of a schema, a line each.
	Scope, Name, Unit, Description string
	// Attributes are key=value, one a line.
	Attributes string
	// Types of the attributes, four bits each from the lowest; later ones are texts.
	Types uint64
	// Escaped says that in the attributes \\ stands for a backslash, \n for a line feed and \e for an equals sign in a key.
	Escaped bool
}

// Types of attributes.
const (
	TextType  = instrumentTypeText
	IntType   = instrumentTypeInt
	FloatType = instrumentTypeFloat
	BoolType  = instrumentTypeBool
	// ListType is a list as JSON.
	ListType = instrumentTypeList
)

// AboutLimit is how many bytes of text there is room for in all.
const AboutLimit = int(unsafe.Sizeof(instrumentLayout{}.text))

var (
	// instruments is the instruments' region of the shared memory.
	instruments unsafe.Pointer
	// observers bring numbers up to date; under registering.
	observers []func()
)

// Observe has f called when numbers are to be brought up to date, by one goroutine, about once a second while an agent is
// there. f must not block for long.
func Observe(f func()) {
	if instruments == nil {
		return
	}
	acquire(&registering)
	observers = append(observers[:len(observers):len(observers)], f)
	release(&registering)
}

// NewInstrument makes a series of a number that is counted with Add.
func NewInstrument(kind InstrumentKind, about *About) *Instrument {
	return newInstrument(uint32(kind), 0, about, nil)
}

// NewObserved makes a series of a number that a function given to Observe sets.
func NewObserved(kind InstrumentKind, about *About) *Instrument {
	return newInstrument(uint32(kind), instrumentFlagObserved, about, nil)
}

// NewHistogram makes a histogram of numbers that are recorded in seconds, with these upper bounds.
func NewHistogram(about *About, bounds []float64) *Instrument {
	return newInstrument(instrumentHistogram, instrumentFlagFloat, about, bounds)
}

// NewSeries makes a series of a metric that is made by hand. They leave some of the table to others: nil is what there is when
// the rest is full, unless it is the last one of its metric, which takes what finds no place.
func NewSeries(kind InstrumentKind, observed, float, last bool, about *About, bounds []float64) *Instrument {
	if instruments == nil {
		return nil
	}
	if !last && (atomic.LoadUint32(&control.instrumentCount) >= seriesLimit || atomic.LoadUint32(&control.bucketCount) >= seriesBucketLimit) {
		return nil
	}
	flags := uint32(0)
	if observed {
		flags |= instrumentFlagObserved
	}
	if float {
		flags |= instrumentFlagFloat
	}
	return newInstrument(uint32(kind), flags, about, bounds)
}

// Where the series of metrics that are made by hand end.
const (
	seriesLimit       = instrumentCount * 3 / 4
	seriesBucketLimit = instrumentBucketCount * 3 / 4
)

func newInstrument(kind, flags uint32, about *About, bounds []float64) *Instrument {
	if instruments == nil {
		return nil
	}
	acquire(&registering)
	defer release(&registering)
	count := uint32(0)
	if kind == instrumentHistogram {
		count = uint32(len(bounds)) + 1
	}
	place := freeInstrument(count)
	if place == nil {
		atomic.AddUint64(&control.lostNames, 1)
		return nil
	}
	size := 0
	put := func(text string) int {
		copied := copy(place.text[size:], text)
		size += copied
		return copied
	}
	place.nameSize = uint8(put(within(about.Name, 255)))
	place.unitSize = uint8(put(within(about.Unit, 63)))
	place.descriptionSize = uint8(put(within(about.Description, 127)))
	place.scopeSize = uint8(put(within(about.Scope, 96)))
	place.attributesSize = uint32(put(about.Attributes))
	if about.Escaped {
		flags |= instrumentFlagEscaped
	}
	place.types = about.Types
	place.flags, place.value, place.start = flags, 0, uint64(nanotime())
	made := &Instrument{place: place}
	if count != 0 {
		made.buckets = unsafe.Slice(bucketAt(place.buckets), count)
		for index := range made.buckets {
			made.buckets[index].count = 0
			if index < len(bounds) {
				made.buckets[index].bound = *(*uint64)(unsafe.Pointer(&bounds[index]))
			}
		}
	}
	place.uses++
	atomic.StoreUint32(&place.state, kind|place.uses<<8)
	return made
}

// freeInstrument finds a place, with so many buckets. A place that was freed keeps its own.
func freeInstrument(buckets uint32) *instrumentLayout {
	var plain *instrumentLayout
	for index := uint32(0); index < control.instrumentCount; index++ {
		place := instrumentAt(index)
		if place.state != 0 {
			continue
		}
		if place.bucketCount == buckets {
			return place
		}
		if place.bucketCount == 0 {
			plain = place
		}
	}
	index, first := control.instrumentCount, control.bucketCount
	if buckets > instrumentBucketCount-first {
		return nil
	}
	place := plain
	if place == nil {
		if index >= instrumentCount {
			return nil
		}
		place = instrumentAt(index)
		atomic.StoreUint32(&control.instrumentCount, index+1)
	}
	place.buckets, place.bucketCount = first, buckets
	atomic.StoreUint32(&control.bucketCount, first+buckets)
	return place
}

// Free ends a series. Nothing may be recorded in it any more.
func (i *Instrument) Free() {
	if i != nil {
		atomic.StoreUint32(&i.place.state, 0)
	}
}

// Hide ends a series in which something may still be recorded: nobody sees it, and its place is not used again.
func (i *Instrument) Hide() {
	if i != nil {
		atomic.StoreUint32(&i.place.state, hidden)
	}
}

// hidden is no kind of instrument.
const hidden = 0xff

// Set sets the number.
//
//go:norace
func (i *Instrument) Set(value int64) {
	if i != nil {
		atomic.StoreUint64(&i.place.value, uint64(value))
	}
}

// Add adds to the number.
//
//go:norace
func (i *Instrument) Add(value int64) {
	if i != nil {
		atomic.AddUint64(&i.place.value, uint64(value))
	}
}

// SetFloat sets the number of a series of floats.
//
//go:norace
func (i *Instrument) SetFloat(value float64) {
	if i != nil {
		atomic.StoreUint64(&i.place.value, *(*uint64)(unsafe.Pointer(&value)))
	}
}

// AddFloat adds to the number of a series of floats.
//
//go:norace
func (i *Instrument) AddFloat(value float64) {
	if i == nil {
		return
	}
	for {
		old := atomic.LoadUint64(&i.place.value)
		sum := *(*float64)(unsafe.Pointer(&old)) + value
		if atomic.CompareAndSwapUint64(&i.place.value, old, *(*uint64)(unsafe.Pointer(&sum))) {
			return
		}
	}
}

// Record adds a duration (ns) to a histogram of seconds.
//
//go:norace
func (i *Instrument) Record(nanoseconds int64) {
	if nanoseconds < 0 {
		nanoseconds = 0
	}
	i.RecordFloat(float64(nanoseconds) / 1e9)
}

// RecordFloat adds a number to a histogram.
//
//go:norace
func (i *Instrument) RecordFloat(value float64) {
	if i == nil {
		return
	}
	bucket := 0
	for bucket < len(i.buckets)-1 && value > *(*float64)(unsafe.Pointer(&i.buckets[bucket].bound)) {
		bucket++
	}
	atomic.AddUint64(&i.buckets[bucket].count, 1)
	i.AddFloat(value)
}

// Now is the time of the clock that Record's durations are differences of.
//
//go:norace
func Now() int64 { return nanotime() }

// An initialiser of its own: what is observed needs the memory to be there, and the first look comes at once.
var _ = memory != nil && memoryFile >= 0 && keepInstruments()

// keepInstruments registers what the runtime knows about itself, and has the observed numbers brought up to date.
func keepInstruments() bool {
	if Instrumented("runtime.metrics", "tandem/runtime") {
		acquire(&registering)
		observers = append(observers, observeRuntime)
		release(&registering)
	}
	watched := runtime_monitor(&control.heartbeat, observe)
	if watched {
		onExit(observeLast)
	}
	return watched
}

// agentAge is how old the heartbeat of an agent may be that is there.
const agentAge = 5e9

// observeLast is run when the program ends, so that one that lives for a moment has numbers too. Other observers may have to
// wait for locks of the program, which at this point nobody may ever release.
func observeLast() {
	if nanotime()-int64(atomic.LoadUint64(&control.heartbeat)) > agentAge {
		return
	}
	if Instrumented("runtime.metrics", "tandem/runtime") {
		observeRuntime()
	}
	atomic.StoreUint64(&control.instrumentsRead, uint64(nanotime()))
}

// observe brings all observed numbers up to date.
func observe() {
	acquire(&registering)
	all := observers
	release(&registering)
	for _, observer := range all {
		observer()
	}
	atomic.StoreUint64(&control.instrumentsRead, uint64(nanotime()))
}

func instrumentAt(index uint32) *instrumentLayout {
	return (*instrumentLayout)(unsafe.Add(instruments, uintptr(index)*unsafe.Sizeof(instrumentLayout{})))
}

func bucketAt(index uint32) *bucketLayout {
	return (*bucketLayout)(unsafe.Add(instruments, bucketsAt+uintptr(index)*unsafe.Sizeof(bucketLayout{})))
}

func within(text string, limit int) string {
	if len(text) > limit {
		return text[:limit]
	}
	return text
}
