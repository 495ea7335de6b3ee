package rt

import (
	"sync/atomic"
	"unsafe"
)

// A span's entry of the in-flight table is where its record is written while it runs, in the ring's own layout: so an
// unfinished span survives the death of the process, and its end is one copy. Context record and entry are handed out
// together: free spans keep their entry. A span that was captured leaves its entry to a new context record.
//
// Free spans are kept by P, in the order of a stack, so that the next span finds its memory in the cache. What one P has
// too much of moves to the others in batches through a shared list, whose lock is only ever tried.

const (
	freeSpans = 128
	freeBatch = 32
	spinLimit = 256
)

// shared holds the free spans that no P holds.
var shared struct {
	lock  uint32
	count int
	spans [entryCount]*Span
}

// entriesTaken counts entries of the table that were ever used.
var entriesTaken uint32

// heapEntries counts entries on the heap. Spans beyond the table get one, for a while: their records survive no crash. When
// there are as many of these as the table has, further spans leave no record, only their count: a million spans at once
// must not cost the program gigabytes.
var heapEntries int32

const (
	heapEntryLimit = entryCount
	// smallEntry is room for what a count needs, and the word behind it that text is padded by.
	smallEntry = countLimit + 8
)

// traceStep leads through all 64-bit numbers once.
const traceStep = 0x9e3779b97f4a7c15

// takeSpan returns a free context record with its entry. It allocates only when the program has more spans running than
// ever before, or when the last span was captured.
//
//go:norace
func takeSpan() *Span {
	if number := procPin(); number < len(processors) {
		own := &processors[number]
		if own.freeCount == 0 {
			own.refill()
		}
		if own.freeCount > 0 {
			own.freeCount--
			span := own.free[own.freeCount]
			span.unheard = own.stillFull()
			own.traces += traceStep
			span.seed = own.traces
			procUnpin()
			return span
		}
	} else if span := takeShared(); span != nil {
		procUnpin()
		return span
	}
	procUnpin()
	return newSpan()
}

// takeShared is takeSpan for the Ps that have no free spans of their own.
//
//go:norace
func takeShared() *Span {
	if shared.count == 0 || !acquireShortly(&shared.lock) {
		return nil
	}
	var span *Span
	if shared.count > 0 {
		shared.count--
		span = shared.spans[shared.count]
		shared.spans[shared.count] = nil
	}
	release(&shared.lock)
	if span != nil {
		span.unheard, span.seed = more.stillFull(), rand()
	}
	return span
}

// newSpan makes a context record with an entry that was never used, or with one on the heap when the table is full.
//
//go:norace
func newSpan() *Span {
	span := &Span{seed: rand()}
	if atomic.LoadUint32(&entriesTaken) < entryCount {
		if index := atomic.AddUint32(&entriesTaken, 1) - 1; index < entryCount {
			span.entry = unsafe.Add(memory, entriesAt+uintptr(index)*entrySize)
			return span
		}
	}
	atomic.AddUint64(&control.lostEntries, 1)
	span.ownEntry = true
	if atomic.LoadInt32(&heapEntries) >= heapEntryLimit {
		span.unheard = true
		span.entry = unsafe.Pointer(new([smallEntry / 8]uint64))
		return span
	}
	atomic.AddInt32(&heapEntries, 1)
	span.entry = unsafe.Pointer(new([entrySize / 8]uint64))
	return span
}

// giveSpan takes back a span whose entry is free. The caller is pinned to the P.
//
//go:norace
func giveSpan(span *Span, number int) {
	if span.ownEntry { // the table may have room again for the next one
		if !span.unheard {
			atomic.AddInt32(&heapEntries, -1)
		}
		return
	}
	if number >= len(processors) {
		if acquireShortly(&shared.lock) {
			shared.spans[shared.count] = span
			shared.count++
			release(&shared.lock)
			return
		}
		atomic.AddUint64(&control.lostEntries, 1)
		return
	}
	own := &processors[number]
	if own.freeCount >= freeSpans/2 {
		own.spill()
	}
	if own.freeCount == freeSpans {
		atomic.AddUint64(&control.lostEntries, 1) // 64 attempts to spill have failed
		return
	}
	own.free[own.freeCount] = span
	own.freeCount++
}

//go:norace
func (own *processor) refill() {
	if shared.count == 0 || !acquireShortly(&shared.lock) {
		return
	}
	for own.freeCount < freeBatch && shared.count > 0 {
		shared.count--
		own.free[own.freeCount] = shared.spans[shared.count]
		shared.spans[shared.count] = nil
		own.freeCount++
	}
	release(&shared.lock)
}

//go:norace
func (own *processor) spill() {
	if !acquireShortly(&shared.lock) {
		return
	}
	for count := 0; count < freeBatch; count++ {
		own.freeCount--
		shared.spans[shared.count] = own.free[own.freeCount]
		own.free[own.freeCount] = nil
		shared.count++
	}
	release(&shared.lock)
}

// acquireShortly tries a lock that is held for some nanoseconds, and gives up rather than wait.
//
//go:norace
func acquireShortly(lock *uint32) bool {
	for attempt := 0; attempt < spinLimit; attempt++ {
		if atomic.LoadUint32(lock) == 0 && atomic.CompareAndSwapUint32(lock, 0, 1) {
			return true
		}
	}
	return false
}
