package rt

import (
	"sync/atomic"
	"unsafe"
)

// Attributes and what else a record holds are items, written straight into the span's entry. After each one the entry's
// size is raised, so that a crash shows a complete record. A span that is not sampled keeps only the metric keys, for its
// count, and its entry stays free.
//
// Items of a span that nobody captured are written by its own goroutine, without more ado. On a captured one a lock is
// tried, which is held for some nanoseconds; should that fail, the attribute is lost and counted.

const (
	recordSize = uint32(unsafe.Sizeof(recordLayout{}))
	// hardLimit leaves room for the anatomy and the word that pads a record to 8 bytes.
	hardLimit = entrySize - partsSize - 4
	// softLimit keeps room for what is often known only at the end: metric keys, numbers, the status.
	softLimit = hardLimit - 256
	// countLimit is where the labels of a span that is only counted end.
	countLimit = recordSize + labelsLimit
	// Joined text is cut here at the latest.
	joinLimit = entrySize
)

// What open returns.
const (
	shut = iota
	openAlone
	openLocked
)

// Str sets a text attribute. The bytes are copied at once.
//
//go:norace
func (s *Span) Str(k Key, v string) {
	if s.isPlain() && k != 0 && len(v) <= softLimit {
		// In one piece, for this is where a span's time goes.
		at := s.used
		if end := at + 4 + (uint32(len(v))+3)&^3; end <= softLimit {
			s.note(k)
			s.used = end
			putText(s.entry, at, end, uint32(k)|(itemString<<12|uint32(len(v)))<<16, unsafe.Pointer(unsafe.StringData(v)), uintptr(len(v)))
			return
		}
	}
	s.str(k, v)
}

// isPlain says whether the span is recorded and nobody else can see it.
//
//go:norace
func (s *Span) isPlain() bool { return s != nil && s.state&stateSampled != 0 && s.captured == 0 }

// putText writes an item of text at a place of the entry, which then ends at end. The text is short as a rule: then it is
// copied without a call.
//
//go:norace
func putText(entry unsafe.Pointer, at, end, head uint32, from unsafe.Pointer, size uintptr) {
	*(*uint64)(unsafe.Add(entry, end-4)) = 0 // pads the text to 4 bytes and the record to 8
	*(*uint32)(unsafe.Add(entry, at)) = head
	to := unsafe.Add(entry, at+4)
	switch {
	case size > 32:
		memmove(to, from, size)
	case size > 16:
		a, b := *(*[2]uint64)(from), *(*[2]uint64)(unsafe.Add(from, size-16))
		*(*[2]uint64)(to), *(*[2]uint64)(unsafe.Add(to, size-16)) = a, b
	case size >= 8:
		a, b := *(*uint64)(from), *(*uint64)(unsafe.Add(from, size-8))
		*(*uint64)(to), *(*uint64)(unsafe.Add(to, size-8)) = a, b
	case size >= 4:
		a, b := *(*uint32)(from), *(*uint32)(unsafe.Add(from, size-4))
		*(*uint32)(to), *(*uint32)(unsafe.Add(to, size-4)) = a, b
	case size > 0:
		a, b, c := *(*byte)(from), *(*byte)(unsafe.Add(from, size/2)), *(*byte)(unsafe.Add(from, size-1))
		*(*byte)(to), *(*byte)(unsafe.Add(to, size/2)), *(*byte)(unsafe.Add(to, size-1)) = a, b, c
	}
	(*recordLayout)(entry).size = (end + 7) &^ 7
}

// str is Str for every span.
//
//go:norace
func (s *Span) str(k Key, v string) {
	if how := s.open(k.keptBy()); how != shut {
		s.text(itemString, k, v)
		s.close(how)
	}
}

// Replace sets a text attribute, in place of one with the same key that was set before.
//
//go:norace
func (s *Span) Replace(k Key, v string) {
	if how := s.open(k.keptBy()); how != shut {
		if k >= firstNonMetricKey || s.keys&(1<<k) != 0 {
			s.remove(k)
		}
		s.text(itemString, k, v)
		s.close(how)
	}
}

// Join sets a text attribute from its pieces.
//
//go:norace
func (s *Span) Join(k Key, pieces ...string) {
	how := s.open(k.keptBy())
	if how == shut {
		return
	}
	size := uint32(0)
	for index := range pieces {
		size += uint32(len(pieces[index]))
	}
	end := s.used + 4 + (size+3)&^3
	if s.state&stateSampled == 0 || end > softLimit || size > softLimit || k == 0 {
		s.joinCut(k, pieces)
		s.close(how)
		return
	}
	*(*uint64)(unsafe.Add(s.entry, end-4)) = 0 // pads the text to 4 bytes and the record to 8
	*(*uint32)(unsafe.Add(s.entry, s.used)) = uint32(k) | (itemString<<12|size)<<16
	s.note(k)
	place := unsafe.Slice((*byte)(unsafe.Add(s.entry, s.used+4)), size)
	for index := range pieces {
		place = place[copy(place, pieces[index]):]
	}
	s.used = end
	s.publishSize()
	s.close(how)
}

// joinCut is for joined text that may not fit.
//
//go:norace
//go:noinline
func (s *Span) joinCut(k Key, pieces []string) {
	var room [joinLimit]byte
	size := 0
	for index := range pieces {
		size += copy(room[size:], pieces[index])
	}
	s.text(itemString, k, unsafe.String(&room[0], size))
}

// Int sets an integer attribute.
//
//go:norace
func (s *Span) Int(k Key, v int64) {
	if s.isPlain() && k != 0 {
		if at := s.used; at+12 <= softLimit {
			entry := s.entry
			*(*uint32)(unsafe.Add(entry, at)) = uint32(k) | (itemInt<<12|8)<<16
			*(*int64)(unsafe.Add(entry, at+4)) = v
			*(*uint32)(unsafe.Add(entry, at+12)) = 0 // pads the record to 8 bytes
			s.note(k)
			s.used = at + 12
			(*recordLayout)(entry).size = (at + 19) &^ 7
			return
		}
	}
	if how := s.open(k.keptBy()); how != shut {
		s.word(itemInt, k, uint64(v))
		s.close(how)
	}
}

// Float sets a floating-point attribute.
//
//go:norace
func (s *Span) Float(k Key, v float64) {
	if how := s.open(k.keptBy()); how != shut {
		s.word(itemFloat, k, *(*uint64)(unsafe.Pointer(&v)))
		s.close(how)
	}
}

// Bool sets a boolean attribute.
//
//go:norace
func (s *Span) Bool(k Key, v bool) {
	if how := s.open(k.keptBy()); how != shut {
		if place := s.reserve(itemBool, k, 4); place != nil {
			*(*uint32)(place) = uint32(*(*uint8)(unsafe.Pointer(&v)))
			s.publishSize()
		}
		s.close(how)
	}
}

// SetName replaces the name that the operation gives the span.
//
//go:norace
func (s *Span) SetName(name string) {
	if how := s.open(stateSampled); how != shut {
		s.text(itemName, 0, name)
		s.close(how)
	}
}

// SetError gives the span status error and says which. The message may be empty.
//
//go:norace
func (s *Span) SetError(errorType, message string) {
	how := s.open(stateLive)
	if how == shut {
		return
	}
	if (*recordLayout)(s.entry).status == statusOk { // the program itself has said so
		s.close(how)
		return
	}
	(*recordLayout)(s.entry).status = statusError
	if errorType != "" {
		s.text(itemString, KeyErrorType, errorType)
	}
	if message != "" && s.state&stateSampled != 0 {
		s.text(itemStatusMessage, 0, message)
	}
	s.close(how)
}

// Event begins an event, now. Its attributes follow by EventStr, and EventEnd ends it.
//
//go:norace
func (s *Span) Event(k Key) {
	if how := s.open(stateSampled); how != shut {
		s.word(itemEvent, k, uint64(nanotime()))
		s.close(how)
	}
}

// EventStr sets a text attribute of the event that was begun.
//
//go:norace
func (s *Span) EventStr(k Key, v string) {
	if how := s.open(stateSampled); how != shut {
		s.text(itemString, k, v)
		s.close(how)
	}
}

// EventEnd ends the event that was begun.
//
//go:norace
func (s *Span) EventEnd() {
	if how := s.open(stateSampled); how != shut {
		if s.reserve(itemEventEnd, 0, 0) != nil {
			s.publishSize()
		}
		s.close(how)
	}
}

// Link points to a span of another trace, or of another branch of this one.
//
//go:norace
func (s *Span) Link(traceID *[16]byte, spanID *[8]byte) {
	how := s.open(stateSampled)
	if how == shut {
		return
	}
	if place := s.reserve(itemLink, 0, 24); place != nil {
		*(*[16]byte)(place) = *traceID
		*(*[8]byte)(unsafe.Add(place, 16)) = *spanID
		s.publishSize()
	}
	s.close(how)
}

// keptBy is the state that a span must have to keep the key.
//
//go:norace
func (k Key) keptBy() uint32 {
	if k < firstNonMetricKey {
		return stateLive
	}
	return stateSampled
}

// open says whether items can be added.
//
//go:norace
func (s *Span) open(kept uint32) int {
	if s == nil || s.state&kept == 0 {
		return shut
	}
	if s.captured == 0 {
		return openAlone
	}
	return s.openCaptured()
}

// openCaptured holds the lock, and the P, so that only the kernel can stop it meanwhile.
//
//go:norace
//go:noinline
func (s *Span) openCaptured() int {
	procPin()
	if !acquireShortly(&s.lock) {
		procUnpin()
		atomic.AddUint64(&control.cutAttributes, 1)
		return shut
	}
	if s.state&stateLive == 0 { // ended in between
		release(&s.lock)
		procUnpin()
		return shut
	}
	return openLocked
}

//go:norace
func (s *Span) close(how int) {
	if how == openLocked {
		s.closeCaptured()
	}
}

//go:norace
//go:noinline
func (s *Span) closeCaptured() {
	if s.state&stateLive == 0 { // ended meanwhile: End could not get the lock, and has left us the entry
		(*recordLayout)(s.entry).size = 0
		if s.manual.table != nil {
			(*recordLayout)(s.manual.table).size = 0
		}
	}
	release(&s.lock)
	procUnpin()
}

// text adds an item of text, cut where the room ends.
//
//go:norace
func (s *Span) text(kind uint32, k Key, v string) {
	limit := s.limit()
	if kind == itemString && k >= firstNonMetricKey {
		limit -= hardLimit - softLimit
	}
	if s.state&stateSampled == 0 {
		limit = countLimit
	}
	at := s.used
	end := at + 4 + (uint32(len(v))+3)&^3
	if end > limit || len(v) > itemLimit {
		v = s.cut(v, limit)
		if v == "" {
			return
		}
		end = at + 4 + (uint32(len(v))+3)&^3
	}
	if kind == itemString && k == 0 {
		return // a key that found no room in the table
	}
	*(*uint64)(unsafe.Add(s.entry, end-4)) = 0 // pads the text to 4 bytes and the record to 8
	*(*uint32)(unsafe.Add(s.entry, at)) = uint32(k) | (kind<<12|uint32(len(v)))<<16
	memmove(unsafe.Add(s.entry, at+4), unsafe.Pointer(unsafe.StringData(v)), uintptr(len(v)))
	if kind == itemString {
		s.note(k)
	}
	s.used = end
	s.publishSize()
}

// remove takes the attribute with key k out of the record. In between the record ends before it, should the process die.
//
//go:norace
func (s *Span) remove(k Key) {
	for at := recordSize; at < s.used; {
		item := unsafe.Add(s.entry, at)
		head, size := *(*uint32)(item), itemSize(item)
		if head&0xffff == uint32(k) && head>>28 <= itemBool {
			s.erase(at, size)
			return
		}
		at += size
	}
}

// erase takes so many bytes out of the record.
//
//go:norace
func (s *Span) erase(at, size uint32) {
	rest := s.used - at - size
	s.used = at
	s.publishSize()
	memmove(unsafe.Add(s.entry, at), unsafe.Add(s.entry, at+size), uintptr(rest))
	s.used = at + rest
	*(*uint32)(unsafe.Add(s.entry, s.used)) = 0 // pads the record to 8 bytes
	s.publishSize()
}

// itemSize is an item's size with head and padding.
//
//go:norace
func itemSize(item unsafe.Pointer) uint32 {
	head := *(*uint32)(item)
	size := 4 + (head>>16&itemLimit+3)&^3
	if head>>28 == itemExtended {
		size += (*(*uint32)(unsafe.Add(item, 4)) + 3) &^ 3
	}
	return size
}

// cut shortens text to the room that is left, between two characters. A label is never cut: it would be another series.
//
//go:norace
func (s *Span) cut(v string, limit uint32) string {
	atomic.AddUint64(&control.cutAttributes, 1)
	if s.state&stateSampled == 0 {
		return ""
	}
	(*recordLayout)(s.entry).flags |= recordFlagCut
	if s.used+8 > limit {
		return ""
	}
	size := int(limit-s.used-4) &^ 3
	if size > itemLimit {
		size = itemLimit
	}
	if size > len(v) {
		size = len(v)
	}
	for size > 0 && size < len(v) && v[size]&0xc0 == 0x80 {
		size--
	}
	return v[:size]
}

// word adds an item of eight bytes.
//
//go:norace
func (s *Span) word(kind uint32, k Key, v uint64) {
	if place := s.reserve(kind, k, 8); place != nil {
		*(*uint64)(place) = v
		s.publishSize()
	}
}

// reserve writes the head of an item of fixed size, and returns where its data go, or nil. publishSize must follow.
//
//go:norace
func (s *Span) reserve(kind uint32, k Key, size uint32) unsafe.Pointer {
	if k == 0 && kind <= itemBool {
		return nil // a key that found no room in the table
	}
	limit := s.limit()
	if s.state&stateSampled == 0 {
		limit = countLimit
	}
	at := s.used
	end := at + 4 + size
	if end > limit {
		atomic.AddUint64(&control.cutAttributes, 1)
		(*recordLayout)(s.entry).flags |= recordFlagCut
		return nil
	}
	*(*uint32)(unsafe.Add(s.entry, at)) = uint32(k) | (kind<<12|size)<<16
	*(*uint32)(unsafe.Add(s.entry, end)) = 0 // pads the record to 8 bytes
	s.used = end
	if kind <= itemBool {
		s.note(k)
	}
	return unsafe.Add(s.entry, at+4)
}

// note remembers that the record has the key, so that Replace need not look for one that is not there.
//
//go:norace
func (s *Span) note(k Key) {
	if k < firstNonMetricKey {
		s.keys |= 1 << k
	}
}

// publishSize makes the item part of the record that a crash leaves. Entries are only read after the death of the
// process, which sees stores in program order: a plain one is enough.
//
//go:norace
func (s *Span) publishSize() {
	if s.state&stateSampled != 0 {
		(*recordLayout)(s.entry).size = (s.used + 7) &^ 7
	}
}
