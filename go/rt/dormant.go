package rt

import (
	"sync/atomic"
	"unsafe"
)

// Functions that are woven dormant (`functions:` in tandem.yaml). Each looks at its switch when it is called, and does
// nothing else while that is 0:
//
//	func (c *Cart) Add(item string) error { if tandemFunctions_cart[3] != 0 && tandem_rt.Admit(tandemFunctions_cart, 3) { return tandemCall3_cart(c, item) }; …
//
// Switched on, it calls its stand-in, which the weave puts at the end of the file: that one begins a span, calls the
// function again, whose second Admit lets the body run, and ends the span, however the function ends. So the function
// itself has no defer, and its results stay in registers.
//
// The switch is a word of the shared memory, written by `tandem enable`. It holds the number of an entry in the table of
// active functions, which says how many spans a second there may be. No table is written here before that: names are
// copied once, when the program starts, one block a source file.

// Switches are those of a file's functions, in the order of the file.
type Switches [4096]uint16

// Dormant is what files use until their functions are registered, or for good, where nothing is recorded.
var Dormant Switches

// functions is the functions' region of the shared memory.
var functions unsafe.Pointer

// noneOff is the word of an operation that is on.
var noneOff uint64

// In Span.state, beside those of context.go.
const (
	stateEntering  = 1 << (16 + iota) // the stand-in is about to call the function
	stateArguments                    // arguments are to be recorded
)

// RegisterFunctions gives a file its switches. It is for initialisers of package-level variables only.
//
//go:norace
func RegisterFunctions(target **Switches, count int, text string) bool {
	if memory == nil {
		return false
	}
	acquire(&registering)
	defer release(&registering)
	first, at := control.functionCount, uintptr(control.functionTextSize)
	end := at + unsafe.Sizeof(functionTextLayout{}) + (uintptr(len(text))+7)&^7
	if count > functionCount-int(first) || end > functionTextSize {
		atomic.AddUint64(&control.lostNames, uint64(count))
		return false
	}
	head := (*functionTextLayout)(unsafe.Add(functions, functionTextsAt+at))
	head.first, head.count, head.size = first, uint32(count), uint32(len(text))
	copy(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(head), unsafe.Sizeof(*head))), len(text)), text)
	atomic.StoreUint32(&control.functionTextSize, uint32(end))
	atomic.StoreUint32(&control.functionCount, first+uint32(count))
	*target = (*Switches)(unsafe.Add(functions, uintptr(first)*unsafe.Sizeof(uint16(0))))
	return true
}

// Admit says whether a call of a function that is switched on gets a span: once for the caller's call, which then goes to
// the stand-in, and not for the stand-in's own.
//
//go:norace
func Admit(switches *Switches, index int) bool {
	number := numberOf(&switches[index])
	active := activeOf(switches[index], number)
	if active == nil || atomic.LoadUint32(&control.flags)&controlPaused != 0 {
		return false
	}
	at := here()
	if current := (*Span)(at.context); current != nil {
		if current == &muted || current.entered(at, number) {
			return false
		}
	}
	return active.admit(switches[index])
}

// Begin begins the span of a stand-in. It is nil when the function was switched off since Admit.
//
//go:norace
func Begin(switches *Switches, index int, explicit *Span) *Span {
	number := numberOf(&switches[index])
	active := activeOf(switches[index], number)
	if active == nil {
		return nil
	}
	op := Op{id: firstFunction + number, kind: KindInternal, word: &noneOff}
	span := Start(&op, explicit)
	if span == nil {
		return nil
	}
	span.panics = runtime_panics()
	span.state |= stateEntering
	if active.flags&activeArguments != 0 && span.Recording() {
		span.state |= stateArguments
	}
	return span
}

// entered says whether s is the span that the stand-in of this function has just begun, and lets the body begin.
//
//go:norace
func (s *Span) entered(at *slot, number uint32) bool {
	if s.state&stateEntering == 0 || s.home != uintptr(unsafe.Pointer(at)) || (*recordLayout)(s.entry).descriptor != firstFunction+number {
		return false
	}
	s.state &^= stateEntering
	return true
}

// Arguments says whether the function's arguments are to be recorded.
//
//go:norace
func (s *Span) Arguments() bool { return s != nil && s.state&stateArguments != 0 }

// Argument records an argument, by its kind: numbers, text, booleans, and types made of them. No method is called and
// nothing is kept, so that nothing that the function is given has to live on the heap because of us.
//
//go:norace
func (s *Span) Argument(position int, v any) {
	if v != nil {
		s.setKind(firstArgumentKey+Key(position), *(*any)(unseen(unsafe.Pointer(&v))))
	}
}

// unseen hides a pointer from escape analysis. What is behind it is only read before the caller goes on.
//
//go:nosplit
func unseen(pointer unsafe.Pointer) unsafe.Pointer {
	address := uintptr(pointer)
	return *(*unsafe.Pointer)(unsafe.Pointer(&address))
}

//go:norace
func numberOf(word *uint16) uint32 {
	return uint32((uintptr(unsafe.Pointer(word)) - uintptr(functions)) / unsafe.Sizeof(*word))
}

// activeOf returns the entry of a function that is on; nil also when the entry has become another function's meanwhile.
//
//go:norace
func activeOf(entry uint16, number uint32) *activeLayout {
	if entry == 0 || entry >= activeCount {
		return nil
	}
	active := (*activeLayout)(unsafe.Add(functions, activeAt+uintptr(entry)*unsafe.Sizeof(activeLayout{})))
	if atomic.LoadUint32(&active.function) != number+1 {
		return nil
	}
	return active
}

const (
	// limitWindow is the second that the limit speaks of.
	limitWindow = 1e9
	// A call beyond the limit looks at the clock. Where such calls follow each other faster than this (ns), most of them go
	// without, so that a hot loop pays a few nanoseconds each; that many are refused at most after a new second has begun.
	fastCalls = 100_000
	skipLimit = 7
)

// admit counts a call and says whether it is within the limit. Each P counts for itself; several calls are asked for at a
// time, so that a P asks for its share of the second seldom. Of a P beyond the rings nothing is recorded at all.
//
//go:norace
func (a *activeLayout) admit(entry uint16) bool {
	number := procPin()
	if number >= len(processors) {
		procUnpin()
		return false
	}
	own := (*callsLayout)(unsafe.Add(functions, callsAt+uintptr(number)*callsBytes+uintptr(entry)*unsafe.Sizeof(callsLayout{})))
	own.calls++
	admitted := a.limit == 0
	switch {
	case admitted:
	case own.skip != 0:
		own.skip--
	case own.granted != 0 || own.ask(a):
		own.granted--
		admitted = true
	}
	if !admitted {
		own.limited++
	}
	procUnpin()
	return admitted
}

// ask takes some of the spans that are left in this second.
//
//go:norace
//go:noinline
func (c *callsLayout) ask(a *activeLayout) bool {
	now, limit := uint64(nanotime()), a.limit
	if begun := atomic.LoadUint64(&a.window); int64(now-begun) >= limitWindow && atomic.CompareAndSwapUint64(&a.window, begun, now) {
		atomic.StoreUint32(&a.started, 0)
	}
	if started := atomic.LoadUint32(&a.started); started < limit {
		share := limit/64 + 1
		if share > 0xffff {
			share = 0xffff
		}
		if started = atomic.AddUint32(&a.started, share) - share; started < limit {
			if share > limit-started {
				share = limit - started
			}
			c.granted, c.skipped = uint16(share), 0
			return true
		}
	}
	if int64(now-c.looked) > fastCalls {
		c.skipped = 0
	} else if c.skipped = 2*c.skipped + 1; c.skipped > skipLimit {
		c.skipped = skipLimit
	}
	c.looked, c.skip = now, c.skipped
	return false
}
