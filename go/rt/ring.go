package rt

import (
	"sync/atomic"
	"unsafe"
)

// publish copies a finished span to the P's ring. It returns false, having counted the loss, when the agent has not made
// room: the newest record goes, nobody waits.
//
//go:norace
func (own *processor) publish(record unsafe.Pointer, size uint64) bool {
	if own.copyToRing(record, size) {
		return true
	}
	atomic.AddUint64(&own.ring.dropped, 1)
	own.full = true
	return false
}

// copyToRing copies a finished record to the P's ring, or returns false. A record never wraps: a padding head fills the
// ring's end.
//
//go:norace
func (own *processor) copyToRing(record unsafe.Pointer, size uint64) bool {
	place := own.head & (ringSize - 1)
	padding := uint64(0)
	if rest := ringSize - place; size > rest {
		padding = rest
	}
	if own.head+padding+size-own.tail > ringSize {
		own.tail = atomic.LoadUint64(&own.ring.tail)
		// An agent that writes nonsense there must not make us overwrite what it has not read, or never write again.
		if used := own.head - own.tail; used > ringSize || padding+size > ringSize-used {
			return false
		}
	}
	if padding != 0 {
		head := (*recordLayout)(unsafe.Add(own.data, place))
		head.size, head.kind = uint32(padding), recordPadding
		place = 0
	}
	memmove(unsafe.Add(own.data, place), record, uintptr(size))
	// Who could not be stopped from writing to the record may have raised its size meanwhile.
	(*recordLayout)(unsafe.Add(own.data, place)).size = uint32(size)
	own.head += padding + size
	storeRelease(&own.ring.head, own.head)
	return true
}

// stillFull says whether a record was dropped for want of room and there still is none for the largest: then the next one
// need not be made. Without an agent a span costs hardly more than one that is not sampled.
//
//go:norace
func (own *processor) stillFull() bool {
	if own.full && own.head-atomic.LoadUint64(&own.ring.tail) <= ringSize-2*entrySize {
		own.full = false
	}
	return own.full
}
