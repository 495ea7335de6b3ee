package rt

import (
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"unsafe"
)

// The agent's side, for tests: what it would read from the shared memory.

type item struct {
	kind  uint32
	key   Key
	text  string
	value uint64
}

type record struct {
	recordLayout
	items []item
}

func (r *record) find(k Key) (item, bool) {
	for _, item := range r.items {
		if item.key == k && item.kind <= itemBool {
			return item, true
		}
	}
	return item{}, false
}

func (r *record) ofKind(kind uint32) (found []item) {
	for _, item := range r.items {
		if item.kind == kind {
			found = append(found, item)
		}
	}
	return found
}

// parse reads a record and its items, and fails the test on anything that an agent would call damaged.
func parse(t testing.TB, bytes []byte) *record {
	t.Helper()
	result := &record{recordLayout: *(*recordLayout)(unsafe.Pointer(&bytes[0]))}
	if result.size%8 != 0 || int(result.size) != len(bytes) {
		t.Fatalf("record of %d bytes says %d", len(bytes), result.size)
	}
	for at := recordSize; at+4 <= result.size; {
		head := *(*uint32)(unsafe.Pointer(&bytes[at]))
		if head == 0 && at+4 == result.size {
			break
		}
		kind, size := head>>28, head>>16&itemLimit
		if kind == 0 || kind > itemExtended || at+4+size > result.size {
			t.Fatalf("damaged item %#x at %d of %d", head, at, result.size)
		}
		if kind == itemExtended {
			at += 4
			head = head&0xffff | kind<<28
			size = *(*uint32)(unsafe.Pointer(&bytes[at]))
			if at+4+size > result.size || head&0xffff == 0 || head&0xffff > extendedDropped {
				t.Fatalf("damaged extended item at %d of %d", at-4, result.size)
			}
		}
		data := bytes[at+4 : at+4+size]
		next := item{kind: kind, key: Key(head & 0xffff), text: string(data)}
		if size == 8 {
			next.value = *(*uint64)(unsafe.Pointer(&data[0]))
		} else if size == 4 && kind == itemBool {
			next.value = uint64(*(*uint32)(unsafe.Pointer(&data[0])))
		}
		result.items = append(result.items, next)
		at += 4 + (size+3)&^3
	}
	return result
}

// drain reads all rings.
func drain(t testing.TB) (records []*record) {
	t.Helper()
	for index := range processors {
		own := &processors[index]
		head := atomic.LoadUint64(&own.ring.head)
		for own.ring.tail < head {
			place := unsafe.Add(own.data, own.ring.tail&(ringSize-1))
			size := *(*uint32)(place)
			if (*recordLayout)(place).kind == recordSpan {
				bytes := append([]byte(nil), unsafe.Slice((*byte)(place), size)...)
				records = append(records, parse(t, bytes))
			} else if uint64(size) != ringSize-own.ring.tail&(ringSize-1) {
				t.Fatalf("padding of %d bytes does not end at the ring's end", size)
			}
			atomic.StoreUint64(&own.ring.tail, own.ring.tail+uint64(size))
		}
		if own.ring.tail != head {
			t.Fatalf("records go on behind the head")
		}
	}
	return records
}

// one drains and expects exactly one span.
func one(t testing.TB) *record {
	t.Helper()
	records := drain(t)
	if len(records) != 1 {
		t.Fatalf("%d records instead of one", len(records))
	}
	return records[0]
}

func dropped() (count uint64) {
	for index := range processors {
		count += atomic.LoadUint64(&processors[index].ring.dropped)
	}
	return count
}

// unfinished returns the live entries of the table.
func unfinished(t testing.TB) (records []*record) {
	t.Helper()
	for index := uintptr(0); index < entryCount; index++ {
		place := unsafe.Add(memory, entriesAt+index*entrySize)
		if size := *(*uint32)(place); size != 0 {
			records = append(records, parse(t, append([]byte(nil), unsafe.Slice((*byte)(place), size)...)))
		}
	}
	return records
}

// series adds up the counts of all processors by key, as the agent does, and says what overflowed.
func series(t testing.TB) (counts map[string]uint64, overflowed uint64) {
	t.Helper()
	counts = map[string]uint64{}
	for index := range processors {
		own := &processors[index]
		for place := uint32(0); place < seriesCount; place++ {
			series := own.seriesAt(place)
			if series.hash == 0 {
				continue
			}
			sum := uint64(0)
			for _, bucket := range series.buckets {
				sum += bucket
			}
			if sum != series.count {
				t.Fatalf("series of %d spans has %d in its buckets", series.count, sum)
			}
			if place == 0 {
				overflowed += series.count
				continue
			}
			counts[fmt.Sprintf("%d/%d/%q", series.descriptor, series.status, series.labels[:series.labelsSize])] += series.count
		}
	}
	return counts, overflowed
}

func clearSeries() {
	for index := range processors {
		clear := unsafe.Slice((*byte)(processors[index].series), seriesBytes)
		for at := range clear {
			clear[at] = 0
		}
	}
}

// sample sets the sampler for one test.
func sample(t testing.TB, name, argument string) {
	ownSampler = parseSampler(name, argument, func(string, string, string) {})
	t.Cleanup(func() { ownSampler = sampler{followParent: true} })
}

// propagateBy sets the propagators for one test.
func propagateBy(t testing.TB, list string) {
	usePropagators(parsePropagators(list, func(string, string, string) {}))
	t.Cleanup(func() { usePropagators(defaultPropagators) })
}

func floatOf(item item) float64 { return math.Float64frombits(item.value) }

// TestReaderSkips: items of kinds that come later, and ones of a wrong size, are left out; what follows is read.
func TestReaderSkips(t *testing.T) {
	bytes := make([]uint64, 64)
	place := unsafe.Pointer(&bytes[0])
	at := FirstItem
	put := func(kind, key, size uint32) {
		*(*uint32)(unsafe.Add(place, at)) = kind<<28 | size<<16 | key
		at += 4 + (size+3)&^3
	}
	extended := func(form, size uint32) {
		put(itemExtended, form, 4)
		*(*uint32)(unsafe.Add(place, at-4)) = size
		at += (size + 3) &^ 3
	}
	put(itemInt, 1, 8)
	put(13, 2, 7)
	put(itemBool, 3, 8)
	extended(99, 21)
	put(itemExtended, 4, 5)
	put(15, 0, 0)
	put(itemString, 5, 3)
	extended(extendedAttribute, 9)
	put(itemEventEnd, 0, 0)
	(*recordLayout)(place).size = (at + 7) &^ 7
	var kinds []uint8
	for next := FirstItem; ; {
		var item Item
		if item, next = (Record{place}).ItemAt(next); next == 0 {
			break
		}
		kinds = append(kinds, item.Kind)
	}
	if expected := []uint8{itemInt, 0, 0, itemExtended, 0, 0, itemString, itemExtended, itemEventEnd}; string(kinds) != string(expected) {
		t.Errorf("%v instead of %v", kinds, expected)
	}
	// However the sizes lie, nothing outside of the record is read.
	size := (*recordLayout)(place).size
	for cut := FirstItem; cut < size; cut += 4 {
		(*recordLayout)(place).size = cut
		for next := FirstItem; next != 0; {
			var item Item
			item, next = (Record{place}).ItemAt(next)
			if length := uint32(len(item.Data)); length > 0 && uint32(uintptr(unsafe.Pointer(&item.Data[0]))-uintptr(place))+length > cut {
				t.Fatalf("%d bytes of item %d lie beyond %d", length, item.Kind, cut)
			}
		}
	}
}
