package rt

import (
	"sync/atomic"
	"unsafe"
)

// Fixed is a run of attributes that many spans have in common (what is true of a connection, say), written once in the
// record's own layout, so that a span takes them all over in one copy. The zero value is empty. It holds no pointers, and
// either dimensions of metrics or other attributes, as its first one is.
type Fixed struct {
	size  uint32
	keys  uint32 // bit by key: the dimensions that it holds
	bytes [fixedSize]byte
}

// fixedSize is the room for addresses, port, scheme and version of a connection.
const fixedSize = 156

// Clear empties it.
func (f *Fixed) Clear() { f.size, f.keys = 0, 0 }

// Empty says whether it holds nothing.
func (f *Fixed) Empty() bool { return f.size == 0 }

// Str adds a text attribute, and says whether it found room.
func (f *Fixed) Str(k Key, v string) bool {
	data := f.reserve(itemString, k, len(v))
	copy(data, v)
	return data != nil
}

// Int adds an integer attribute, and says whether it found room.
func (f *Fixed) Int(k Key, v int64) bool {
	data := f.reserve(itemInt, k, 8)
	for index := range data {
		data[index] = byte(v >> (8 * index)) // little endian, as all machines that have a record
	}
	return data != nil
}

// reserve writes an item's head and zeroes its data with their padding; nil: no room.
func (f *Fixed) reserve(kind uint32, k Key, size int) (data []byte) {
	dimension := k < firstNonMetricKey
	if k == 0 || size > len(f.bytes) || f.size > 0 && dimension != (f.keys != 0) {
		return nil
	}
	at, end := f.size, f.size+4+(uint32(size)+3)&^3
	if end > uint32(len(f.bytes)) {
		return nil
	}
	*(*uint32)(unsafe.Pointer(&f.bytes[at])) = uint32(k) | (kind<<12|uint32(size))<<16 // at is a multiple of 4
	data = f.bytes[at+4 : end]
	for index := range data {
		data[index] = 0
	}
	f.size = end
	if dimension {
		f.keys |= 1 << k
	}
	return data
}

// Fixed sets the attributes of f, which must not have been set before.
//
//go:norace
func (s *Span) Fixed(f *Fixed) {
	kept := uint32(stateSampled)
	if f.keys != 0 {
		kept = stateLive
	}
	how := s.open(kept)
	if how == shut {
		return
	}
	limit := uint32(softLimit)
	if s.state&stateSampled == 0 {
		limit = countLimit
	}
	at := s.used
	if end := at + f.size; end <= limit {
		copy(unsafe.Slice((*byte)(unsafe.Add(s.entry, at)), f.size), f.bytes[:])
		*(*uint32)(unsafe.Add(s.entry, end)) = 0 // pads the record to 8 bytes
		s.used = end
		s.keys |= f.keys
		s.publishSize()
	} else {
		s.fixedCut(f, limit)
	}
	s.close(how)
}

// fixedCut sets those attributes of f, each as a whole, that find room.
//
//go:norace
//go:noinline
func (s *Span) fixedCut(f *Fixed, limit uint32) {
	for at := uint32(0); at < f.size; {
		item := unsafe.Pointer(&f.bytes[at])
		size := itemSize(item)
		if end := s.used + size; end <= limit {
			memmove(unsafe.Add(s.entry, s.used), item, uintptr(size))
			*(*uint32)(unsafe.Add(s.entry, end)) = 0
			s.used = end
			s.note(Key(*(*uint32)(item)))
		} else {
			atomic.AddUint64(&control.cutAttributes, 1)
			if s.state&stateSampled != 0 {
				(*recordLayout)(s.entry).flags |= recordFlagCut
			}
		}
		at += size
	}
	s.publishSize()
}
