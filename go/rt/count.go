package rt

import (
	"sync/atomic"
	"unsafe"
)

// Spans that leave no record are counted here, by operation, status and metric dimensions, so that rates, errors and
// durations are exact whatever is sampled. One table a P, one writer a table; the agent adds them up.

const (
	// labelsLimit is the room for the dimensions of one series.
	labelsLimit = uint32(len(seriesLayout{}.labels))
	// probeLimit bounds the search; what it does not find or place is counted in series 0.
	probeLimit = 16
	overflow   = 1 // hash of series 0, which no other series has
)

// count adds a span to its series. labels are items with metric keys; what pads them to 8 bytes is zero.
//
//go:norace
func (own *processor) count(descriptor uint32, status uint8, labels unsafe.Pointer, size uint32, duration uint64) {
	series := own.find(descriptor, status, labels, size)
	series.count++
	series.sum += duration
	series.buckets[bucketOf(duration)]++
}

//go:norace
func (own *processor) find(descriptor uint32, status uint8, labels unsafe.Pointer, size uint32) *seriesLayout {
	if latest := own.latest; latest.hash > overflow && latest.is(descriptor, status, labels, size) {
		return latest // most often so, and without a hash
	}
	hash := hashLabels(descriptor, status, labels, size)
	index := uint32(hash)
	for probe := uint32(0); probe < probeLimit; probe++ {
		place := (index + probe) & (seriesCount - 1)
		if place == 0 {
			continue
		}
		series := own.seriesAt(place)
		switch series.hash {
		case hash:
			if series.is(descriptor, status, labels, size) {
				own.latest = series
				return series
			}
		case 0:
			series.descriptor, series.status, series.labelsSize = descriptor, status, uint8(size)
			copy(series.labels[:], unsafe.Slice((*byte)(labels), size))
			atomic.StoreUint64(&series.hash, hash)
			own.latest = series
			return series
		}
	}
	series := own.seriesAt(0)
	if series.hash == 0 {
		atomic.StoreUint64(&series.hash, overflow)
	}
	return series
}

// is says whether the series counts such spans.
//
//go:norace
func (series *seriesLayout) is(descriptor uint32, status uint8, labels unsafe.Pointer, size uint32) bool {
	return series.descriptor == descriptor && series.status == status && uint32(series.labelsSize) == size && sameWords(&series.labels, labels, size)
}

//go:norace
func (own *processor) seriesAt(place uint32) *seriesLayout {
	return (*seriesLayout)(unsafe.Add(own.series, uintptr(place)*unsafe.Sizeof(seriesLayout{})))
}

// hashLabels mixes the key; it is never 0 (free) nor 1 (series 0).
//
//go:norace
func hashLabels(descriptor uint32, status uint8, labels unsafe.Pointer, size uint32) uint64 {
	const multiplier = 0x9e3779b97f4a7c15
	hash := (uint64(descriptor)<<8|uint64(status))*multiplier ^ uint64(size)
	for at := uint32(0); at < size; at += 8 {
		hash = (hash ^ *(*uint64)(unsafe.Add(labels, at))) * multiplier
		hash ^= hash >> 29
	}
	hash ^= hash >> 32
	if hash <= overflow {
		return overflow + 1
	}
	return hash
}

//go:norace
func sameWords(stored *[labelsLimit]byte, labels unsafe.Pointer, size uint32) bool {
	for at := uint32(0); at < size; at += 8 {
		if *(*uint64)(unsafe.Add(unsafe.Pointer(stored), at)) != *(*uint64)(unsafe.Add(labels, at)) {
			return false
		}
	}
	return true
}

// bucketOf returns the number of the first bucket whose bound is not below the duration.
//
//go:norace
func bucketOf(duration uint64) int {
	for bucket := range bucketBounds {
		if duration <= bucketBounds[bucket] {
			return bucket
		}
	}
	return len(bucketBounds)
}

// countRecord counts a record that found the ring full, with those of its attributes that are dimensions; of one that was
// made by hand its name too.
//
//go:norace
//go:noinline
func (own *processor) countRecord(record *recordLayout, used uint32, manual bool) {
	var labels [labelsLimit]byte
	size := uint32(0)
	for at := recordSize; at+4 <= used; {
		item := unsafe.Add(unsafe.Pointer(record), at)
		head := *(*uint32)(item)
		length := itemSize(item)
		kind, key := head>>28, head&0xffff
		is := kind <= itemBool && key < firstNonMetricKey || kind == itemName && manual
		if is && size+length <= labelsLimit {
			copy(labels[size:], unsafe.Slice((*byte)(item), length))
			size += length
		}
		at += length
	}
	own.count(record.descriptor, record.status, unsafe.Pointer(&labels), size, record.end-record.start)
}
