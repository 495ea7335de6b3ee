package rt

import (
	"sync/atomic"
	"unsafe"
)

// Items that are put together first, outside of any lock, and then added to a span in one go: attributes of any kind, events
// and links with theirs. The functions below only append bytes; Append looks at what it is given.

// Limits of what a program may tell about a span by hand; each can be set by OpenTelemetry's variables.
var (
	AttributeLimit     = 128
	EventLimit         = 128
	LinkLimit          = 128
	EventAttributes    = 128
	LinkAttributes     = 128
	AttributeTextLimit = -1 // characters; below 0: none
)

func configureLimits() {
	number := func(to *int, names ...string) {
		for _, name := range names {
			if value, valid := parseCount(trimBlanks(env(name))); valid {
				*to = value
				return
			}
		}
	}
	number(&AttributeLimit, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
	number(&EventLimit, "OTEL_SPAN_EVENT_COUNT_LIMIT")
	number(&LinkLimit, "OTEL_SPAN_LINK_COUNT_LIMIT")
	number(&EventAttributes, "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
	number(&LinkAttributes, "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
	number(&AttributeTextLimit, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
}

// AppendAttribute appends the head of an attribute; its value, by one of the functions below, and EndItem must follow.
// It returns where the item begins.
func AppendAttribute(to []byte, key string) (items []byte, start int) {
	start = len(to)
	if len(key) > itemLimit {
		key = key[:itemLimit]
	}
	to = append32(to, extendedAttribute|(itemExtended<<12|4)<<16)
	to = append32(to, 0) // filled in by EndItem
	number := KeyOf(key)
	if number != 0 {
		key = ""
	}
	to = append32(to, uint32(number)|uint32(len(key))<<16)
	return append(to, key...), start
}

// EndItem completes the item that begins at start.
func EndItem(items []byte, start int) []byte {
	size := uint32(len(items) - start - 8)
	items[start+4], items[start+5], items[start+6], items[start+7] = byte(size), byte(size>>8), byte(size>>16), byte(size>>24)
	for len(items)&3 != 0 {
		items = append(items, 0)
	}
	return items
}

// AppendString appends a value.
func AppendString(to []byte, v string) []byte {
	return append(append32(append(to, valueString), uint32(len(v))), v...)
}

// AppendBytes appends a value that is no text.
func AppendBytes(to []byte, v []byte) []byte {
	return append(append32(append(to, valueBytes), uint32(len(v))), v...)
}

// AppendInt appends a value.
func AppendInt(to []byte, v int64) []byte { return append64(append(to, valueInt), uint64(v)) }

// AppendFloat appends a value.
func AppendFloat(to []byte, v float64) []byte {
	return append64(append(to, valueFloat), *(*uint64)(unsafe.Pointer(&v)))
}

// AppendBool appends a value.
func AppendBool(to []byte, v bool) []byte {
	return append(to, valueBool, *(*byte)(unsafe.Pointer(&v)))
}

// BeginList appends the head of a list; its values and EndList, with where it begins, must follow.
func BeginList(to []byte) (items []byte, start int) {
	return append(to, valueList, 0, 0, 0, 0), len(to)
}

// BeginMap is BeginList for pairs of AppendKey and a value.
func BeginMap(to []byte) (items []byte, start int) { return append(to, valueMap, 0, 0, 0, 0), len(to) }

// AppendKey appends a pair's key.
func AppendKey(to []byte, key string) []byte { return append(append32(to, uint32(len(key))), key...) }

// EndList completes the list or map that begins at start.
func EndList(items []byte, start int) []byte {
	size := uint32(len(items) - start - 5)
	items[start+1], items[start+2], items[start+3], items[start+4] = byte(size), byte(size>>8), byte(size>>16), byte(size>>24)
	return items
}

// AppendShort appends a whole attribute with a well-known key and a text value in its shortest form, if it has one.
func AppendShort(to []byte, key string, v string) (items []byte, done bool) {
	number := KeyOf(key)
	if number == 0 || len(v) > itemLimit {
		return to, false
	}
	to = append32(to, uint32(number)|(itemString<<12|uint32(len(v)))<<16)
	to = append(to, v...)
	for len(to)&3 != 0 {
		to = append(to, 0)
	}
	return to, true
}

// AppendShortInt is AppendShort for integers.
func AppendShortInt(to []byte, key string, v int64) (items []byte, done bool) {
	number := KeyOf(key)
	if number == 0 {
		return to, false
	}
	return append64(append32(to, uint32(number)|(itemInt<<12|8)<<16), uint64(v)), true
}

// AppendEvent begins an event; its attributes and EndGroup must follow. Without unix it is now.
func AppendEvent(to []byte, name string, unix int64, given bool) []byte {
	start := len(to)
	to = append32(to, extendedEvent|(itemExtended<<12|4)<<16)
	to = append32(to, 0)
	if given {
		to = append(append64(to, uint64(unix)), 1)
	} else {
		to = append(append64(to, uint64(nanotime())), 0)
	}
	return EndItem(append(to, name...), start)
}

// AppendLink begins a link; its attributes and EndGroup must follow.
func AppendLink(to []byte, traceID *[16]byte, spanID *[8]byte, flags byte, remote bool, tracestate string) []byte {
	start := len(to)
	to = append32(to, extendedLink|(itemExtended<<12|4)<<16)
	to = append32(to, 0)
	to = append(append(to, traceID[:]...), spanID[:]...)
	all := uint32(flags) | 0x100
	if remote {
		all |= 0x200
	}
	return EndItem(append(append32(to, all), tracestate...), start)
}

// EndGroup ends the attributes of an event or a link.
func EndGroup(to []byte) []byte { return append32(to, itemEventEnd<<28) }

func append32(to []byte, v uint32) []byte {
	return append(to, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}

func append64(to []byte, v uint64) []byte { return append32(append32(to, uint32(v)), uint32(v>>32)) }

// Append adds items to the span. An attribute takes the place of one with the same key; what is beyond the limits is counted.
// The record grows where it must.
//
//go:norace
func (s *Span) Append(items []byte) {
	if s == nil || len(items) == 0 || s.state&stateLive == 0 {
		return
	}
	var place unsafe.Pointer
	var room uint32
	if wanted := s.used + uint32(len(items)) + 512; s.state&stateSampled != 0 && wanted > s.limit() {
		place, room = newRoom(wanted, s.room())
	}
	how := s.open(stateLive)
	if how == shut {
		return
	}
	if place != nil && room > s.room() {
		s.grow(place, room)
	}
	for at, end := uint32(0), uint32(len(items)); at+4 <= end; {
		item := unsafe.Pointer(&items[at])
		size := itemSize(item)
		if *(*uint32)(item)>>28 == itemExtended && *(*uint32)(item)&0xffff != extendedAttribute {
			size = groupSize(item, end-at)
		}
		if at+size > end {
			break
		}
		s.add(item, size)
		at += size
	}
	s.close(how)
}

// CountCut counts a value that was cut before it came here.
func CountCut() { atomic.AddUint64(&control.cutAttributes, 1) }

// newRoom makes room for a record of at least so many bytes, if there may be such.
func newRoom(wanted, has uint32) (place unsafe.Pointer, room uint32) {
	wanted += partsSize + 4
	for room = has; room < wanted && room < recordLimit; {
		room *= 4
	}
	if room > recordLimit {
		room = recordLimit
	}
	if room <= has {
		return nil, 0
	}
	return unsafe.Pointer(unsafe.SliceData(make([]uint64, room/8))), room
}

// room is the size of what holds the record.
//
//go:norace
func (s *Span) room() uint32 {
	if s.manual.table != nil {
		return s.manual.room
	}
	return entrySize
}

// groupSize is the size of an event or a link with all that belongs to it.
//
//go:norace
func groupSize(item unsafe.Pointer, rest uint32) uint32 {
	size := itemSize(item)
	for size < rest {
		head := *(*uint32)(unsafe.Add(item, size))
		size += itemSize(unsafe.Add(item, size))
		if head>>28 == itemEventEnd {
			break
		}
	}
	return size
}

// add copies one item, or one event or link with its attributes, into the record.
//
//go:norace
func (s *Span) add(item unsafe.Pointer, size uint32) {
	head := *(*uint32)(item)
	kind, key := head>>28, Key(head)
	sampled := s.state&stateSampled != 0
	limit, count, bound := s.limit(), &s.manual.attributes, AttributeLimit
	isNew := true
	isAttribute := kind <= itemBool || kind == itemExtended && head&0xffff == extendedAttribute
	switch {
	case isAttribute:
		if !sampled && (kind > itemBool || key >= firstNonMetricKey) {
			return
		}
		isNew = !s.replaced(item, kind)
	case !sampled:
		return
	case head&0xffff == extendedEvent:
		count, bound = &s.manual.events, EventLimit
	default:
		count, bound = &s.manual.links, LinkLimit
	}
	if !sampled {
		limit = countLimit
	}
	if isNew && int(*count) >= bound {
		s.manual.dropped[s.group(count)]++
		s.manual.used = true
		return
	}
	if s.used+size > limit {
		atomic.AddUint64(&control.cutAttributes, 1)
		if sampled {
			(*recordLayout)(s.entry).flags |= recordFlagCut
		}
		return
	}
	if isNew {
		*count++
	}
	s.manual.used = true
	memmove(unsafe.Add(s.entry, s.used), item, uintptr(size))
	s.used += size
	*(*uint32)(unsafe.Add(s.entry, s.used)) = 0 // pads the record to 8 bytes
	if kind <= itemBool {
		s.note(key)
	}
	s.publishSize()
}

//go:norace
func (s *Span) group(count *uint32) int {
	switch count {
	case &s.manual.events:
		return 1
	case &s.manual.links:
		return 2
	}
	return 0
}

// replaced takes an attribute with the same key out of the record, and says whether there was one.
//
//go:norace
func (s *Span) replaced(item unsafe.Pointer, kind uint32) bool {
	inside := false
	for at := recordSize; at < s.used; {
		old := unsafe.Add(s.entry, at)
		head, size := *(*uint32)(old), itemSize(old)
		switch oldKind := head >> 28; {
		case oldKind == itemEvent || oldKind == itemExtended && (head&0xffff == extendedEvent || head&0xffff == extendedLink):
			inside = true
		case oldKind == itemEventEnd:
			inside = false
		case inside:
		case oldKind <= itemBool || oldKind == itemExtended && head&0xffff == extendedAttribute:
			if sameKey(old, oldKind, item, kind) {
				s.erase(at, size)
				return true
			}
		}
		at += size
	}
	return false
}

// sameKey compares the keys of two attributes, by number or by name.
//
//go:norace
func sameKey(a unsafe.Pointer, aKind uint32, b unsafe.Pointer, bKind uint32) bool {
	aKey, aName := attributeKey(a, aKind)
	bKey, bName := attributeKey(b, bKind)
	return aKey == bKey && aName == bName
}

//go:norace
func attributeKey(item unsafe.Pointer, kind uint32) (key Key, name string) {
	if kind != itemExtended {
		return Key(*(*uint32)(item)), ""
	}
	head := *(*uint32)(unsafe.Add(item, 8))
	return Key(head), unsafe.String((*byte)(unsafe.Add(item, 12)), head>>16)
}
