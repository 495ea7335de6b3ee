package rt

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// The file that program and agent share: header, control page, descriptors, keys, resource text, in-flight table, counts,
// ring headers, rings, functions, instruments, routes, in this order. Sparse: what is not used costs nothing.
const (
	controlAt     = page
	descriptorsAt = 2 * page
	keysAt        = descriptorsAt + descriptorCount*unsafe.Sizeof(descriptorLayout{})
	resourceAt    = keysAt + keyCount*unsafe.Sizeof(keyLayout{})
	entriesAt     = (resourceAt + resourceSize + page - 1) &^ (page - 1)
	seriesAt      = entriesAt + entryCount*entrySize
	seriesBytes   = seriesCount * unsafe.Sizeof(seriesLayout{})
	// The parts of the functions' region, from its start.
	activeAt        = functionCount * unsafe.Sizeof(uint16(0))
	functionTextsAt = activeAt + activeCount*unsafe.Sizeof(activeLayout{})
	callsAt         = functionTextsAt + functionTextSize
	callsBytes      = activeCount * unsafe.Sizeof(callsLayout{})
	// The buckets of the instruments, from their region's start, and its end.
	bucketsAt        = instrumentCount * unsafe.Sizeof(instrumentLayout{})
	instrumentsBytes = bucketsAt + instrumentBucketCount*unsafe.Sizeof(bucketLayout{})
)

var (
	// memory is the mapping; nil: everything is off. An initialiser, not an init function, makes it, so that operations
	// and keys of this very package can be registered too.
	memory = setUp()
	// control is the control page, or one of our own while everything is off.
	control = new(controlLayout)
	// memoryFile is the memfd; -1: the memory is not shared. memorySize is its size.
	memoryFile = -1
	memorySize uintptr
	// processors has one element a P.
	processors []processor
	// more is what the Ps write to that a raised GOMAXPROCS has added, under its lock.
	more struct {
		lock uint32
		*processor
	}
)

// processor is what one P writes to: its ring, its counts, its free spans. Only code that is pinned to the P touches it.
type processor struct {
	data   unsafe.Pointer // the ring
	ring   *ringLayout
	head   uint64 // = ring.head
	tail   uint64 // ring.tail when last looked at
	full   bool   // a record found no room since
	series unsafe.Pointer
	latest *seriesLayout // the one that was counted in last
	traces uint64        // the first half of the next trace id

	freeCount int
	free      [freeSpans]*Span
	logCount  int
	logs      [freeLogs]*Log // memory for log records
	_         [64]byte       // keeps the next P's head off our cache line
}

func setUp() unsafe.Pointer {
	readEnvironment()
	if settings.disabled {
		return nil
	}
	count := 1
	for count < runtime.NumCPU() || count < runtime.GOMAXPROCS(0) {
		count *= 2
	}
	base := makeMemory(uint32(2 * count))
	if base != nil {
		keepAccounts()
	}
	if base != nil && memoryFile >= 0 {
		greetAgent()
	}
	return base
}

// privateMemory is for systems and worlds in which memory cannot be shared with an agent: worth while only where the
// program sends its spans itself.
func privateMemory(count uint32) unsafe.Pointer {
	if !settings.endpoint {
		return nil
	}
	size := fileSize(count)
	base := allocate(size)
	if base == nil {
		debug("there is no memory for spans; nothing is recorded")
		return nil
	}
	memorySize = size
	layOut(base, count)
	return base
}

// layOut fills the fresh mapping's header and points the processors at their places.
func layOut(base unsafe.Pointer, count uint32) {
	header := (*headerLayout)(base)
	header.layoutVersion = layoutVersion
	header.fileSize = uint64(memorySize)
	header.pid = uint32(processID())
	header.accountsSize = accountCount
	header.partCount = partCount
	header.startMonotonic, header.startRealtime = clockPair()
	header.controlOffset = controlAt
	header.descriptorsOffset = uint64(descriptorsAt)
	header.keysOffset = uint64(keysAt)
	header.resourceOffset = uint64(resourceAt)
	header.entriesOffset = uint64(entriesAt)
	header.seriesOffset = uint64(seriesAt)
	header.ringsOffset = uint64(ringsAt(count))
	header.descriptorCount = descriptorCount
	header.keyCount = keyCount
	header.entryCount = entryCount
	header.seriesCount = seriesCount
	header.processorCount = count
	header.ringSize = ringSize
	header.functionsOffset = uint64(functionsAt(count))
	header.functionCount = functionCount
	header.functionTextSize = functionTextSize
	header.activeCount = activeCount
	header.instrumentsOffset = uint64(instrumentsAt(count))
	header.instrumentCount = instrumentCount
	header.bucketCount = instrumentBucketCount
	header.routesOffset = uint64(routesAt(count))
	header.routeCount = routeCount
	copy(header.goVersion[:], runtime.Version())
	copy(header.tandemVersion[:], tandemVersion)
	resource := unsafe.Slice((*byte)(unsafe.Add(base, resourceAt)), resourceSize)
	header.resourceSize = uint32(copy(resource, resourceText()))
	describeGoroutines(header)

	all := make([]processor, count)
	for index := range all {
		target := &all[index]
		target.ring = (*ringLayout)(unsafe.Add(base, ringsAt(count)+uintptr(index)*unsafe.Sizeof(ringLayout{})))
		target.data = unsafe.Add(base, ringDataAt(count)+uintptr(index)*ringSize)
		target.series = unsafe.Add(base, seriesAt+uintptr(index)*seriesBytes)
		target.latest = target.seriesAt(0)
		target.traces = rand()
	}
	processors, more.processor = all[:count-1], &all[count-1]
	control = (*controlLayout)(unsafe.Add(base, controlAt))
	functions = unsafe.Add(base, functionsAt(count))
	instruments = unsafe.Add(base, instrumentsAt(count))
	routes = (*[routeCount]routeLayout)(unsafe.Add(base, routesAt(count)))
	atomic.StoreUint64(&header.magic, magic)
}

func ringsAt(count uint32) uintptr {
	return (seriesAt + uintptr(count)*seriesBytes + page - 1) &^ (page - 1)
}

func ringDataAt(count uint32) uintptr {
	return (ringsAt(count) + uintptr(count)*unsafe.Sizeof(ringLayout{}) + page - 1) &^ (page - 1)
}

func functionsAt(count uint32) uintptr { return ringDataAt(count) + uintptr(count)*ringSize }

func instrumentsAt(count uint32) uintptr {
	return (functionsAt(count) + callsAt + uintptr(count)*callsBytes + page - 1) &^ (page - 1)
}

func routesAt(count uint32) uintptr {
	return (instrumentsAt(count) + instrumentsBytes + page - 1) &^ (page - 1)
}

func fileSize(count uint32) uintptr { return routesAt(count) + page }

// describeGoroutines tells the kernel half where the account of the running goroutine is. Without that it stays off.
func describeGoroutines(header *headerLayout) {
	if clockIsCounter() {
		runtime_count()
	}
	slotOffset, gm, _, curg, firstG0, _ := runtime_offsets()
	header.gMOffset = uint32(gm)
	header.mCurgOffset = uint32(curg)
	header.slotOffset = uint32(slotOffset)
	header.accountOffset = uint32(slotOffset + unsafe.Offsetof(slot{}.index))
	header.g0Address = uint64(firstG0)
	all, count, stack, status, sp, pc, bp := runtime_goroutines()
	header.goroutinesAddress, header.goroutineCountAddress = uint64(all), uint64(count)
	header.gStackOffset, header.gStatusOffset = uint32(stack), uint32(status)
	header.gSpOffset, header.gPcOffset, header.gBpOffset = uint32(sp), uint32(pc), uint32(bp)
	if offset, found := threadLocalG(slotOffset); found {
		header.tlsGOffset = offset
		header.flags |= headerHasAccounts
	}
}
