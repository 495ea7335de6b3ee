package rt

import (
	"sync/atomic"
	"unsafe"
)

// The anatomy of a span is the difference between two looks at its goroutine's account. The account has two halves: Go's,
// behind g, which the woven runtime keeps, and the kernel's, which the agent's probe keeps in memory that is mapped here
// read-only. Counters only grow; nothing is ever reset, so spans may nest and overlap.

const (
	goClasses     = 9
	kernelClasses = 13 // two of them are no times; minor_fault lies apart
)

// goParts is the part of the anatomy that a class of Go's waits belongs to.
var goParts = [goClasses]uint16{
	partGoRunnable, partGoNetwork, partGoChannel, partGoSelect, partGoSync, partGoSleep, partGoGc, partGoOther, partGoCoroutine,
}

// kernelParts is the part that each of the first counters of an account slot belongs to; 0: it is no time.
var kernelParts = [kernelClasses]uint16{
	partRunQueue, partBlockedFile, partBlockedNetwork, partBlockedFutex, partBlockedLock, partBlockedSleep, partBlockedOther, partMajorFault,
	8: 0, 9: 0, partBlockIo, partThrottled, partNetworkUnread,
}

// partsSize is the room that all parts together need in a record, with three attributes.
const partsSize = (goClasses + 2 + kernelClasses - 2 + 1 + 1 + 3) * 12

// agentSilence is how long the agent may be silent, ns, before its half of the accounts counts as dead.
const agentSilence = 5e9

var (
	kernelAccounts     unsafe.Pointer // base of the account map; nil: no kernel half
	kernelAccountCount uint32
	// What the runtime keeps of an account besides, one element an account; nil: there is no memory.
	ownAccounts *[accountCount]ownAccount
)

// ownAccount is the runtime's tandemAccount.
type ownAccount struct {
	stopped int64  // of the time runnable, ns: the world was stopped
	sent    int64  // of the time parked for the network, ns: nothing more could be sent
	resent  uint32 // segments that the kernel sent again meanwhile; wraps
	rtt     uint32 // round-trip time of the connection that was last waited for, µs; 0: not known
}

// keepAccounts tells the runtime where the accounts are.
func keepAccounts() {
	own := allocate(accountCount * unsafe.Sizeof(ownAccount{}))
	if own != nil && runtime_accounts(&kernelAccounts, &kernelAccountCount, own, accountCount) {
		ownAccounts = (*[accountCount]ownAccount)(own)
	}
}

// account is a snapshot.
type account struct {
	stamp      int64
	cgo        uint32
	resent     uint32 // of the goroutine's account, and of the connection that Uses names
	ns         [goClasses]int64
	stopped    int64
	sent       int64
	kernel     [kernelClasses]uint64
	minorFault uint64
	faults     uint32
	since      uint32 // when the connection was first named
}

// activate makes the runtime add up this goroutine's waits, and gives it an account index for life.
//
//go:norace
func (s *slot) activate() {
	if s.index == 0 {
		s.index = atomic.AddUint32(&control.accountCount, 1)
	}
	s.on = 1
}

// look takes a snapshot, and says whether it has a kernel half.
//
//go:norace
func (a *account) look(s *slot) (hasKernel bool) {
	a.stamp = s.stamp
	a.cgo = s.cgo
	a.ns = *(*[goClasses]int64)(unsafe.Pointer(&s.ns))
	if own := ownAccountOf(s.index); own != nil {
		a.stopped, a.sent, a.resent = own.stopped, own.sent, own.resent
	}
	if kernel := kernelSlot(s.index); kernel != nil {
		a.kernel = *(*[kernelClasses]uint64)(unsafe.Pointer(kernel))
		a.minorFault, a.faults = kernel.minorFault, kernel.minorFaults
		return true
	}
	return false
}

// ownAccountOf returns what the runtime keeps of an account besides, or nil.
//
//go:norace
func ownAccountOf(index uint32) *ownAccount {
	if ownAccounts == nil || index >= accountCount {
		return nil
	}
	return &ownAccounts[index]
}

// kernelSlot returns the kernel's counters of an account, or nil.
//
//go:norace
func kernelSlot(index uint32) *accountLayout {
	if index >= atomic.LoadUint32(&kernelAccountCount) {
		return nil
	}
	base := atomic.LoadPointer(&kernelAccounts)
	return (*accountLayout)(unsafe.Add(base, uintptr(index)*unsafe.Sizeof(accountLayout{})))
}

// measureGo appends what Go's half of the account gained since the span started.
//
//go:norace
func (s *Span) measureGo(at *slot) {
	(*recordLayout)(s.entry).flags |= recordFlagGoParts
	// The stamp moves with every change of state: where it has not, the goroutine never left its thread in Go's eyes.
	if at.stamp == s.account.stamp {
		return
	}
	runnable, network := at.ns[0]-s.account.ns[0], at.ns[1]-s.account.ns[1]
	if own := ownAccountOf(at.index); own != nil {
		runnable = s.within(partGoStopped, runnable, own.stopped-s.account.stopped)
		if network > 0 {
			network = s.within(partGoSend, network, own.sent-s.account.sent)
		}
	}
	s.goPart(partGoRunnable, runnable)
	s.goPart(partGoNetwork, network)
	for class := 2; class < goClasses; class++ {
		s.goPart(goParts[class], at.ns[class]-s.account.ns[class])
	}
}

// within appends a part that is included in another one, and returns what is left of that.
//
//go:norace
func (s *Span) within(part uint16, of, spent int64) (rest int64) {
	if spent > of {
		spent = of
	}
	s.goPart(part, spent)
	if spent > 0 {
		of -= spent
	}
	return of
}

//go:norace
func (s *Span) goPart(part uint16, spent int64) {
	if spent > 0 {
		s.part(part, uint64(spent))
	}
}

// measureKernel appends what the kernel's half gained, and says whether there is one.
//
//go:norace
func (s *Span) measureKernel(at *slot) bool {
	if s.state&stateKernel == 0 {
		return false
	}
	kernel := kernelSlot(at.index)
	if kernel == nil {
		return false
	}
	if ran := at.cgo - s.account.cgo; ran != 0 {
		s.part(partCgo, uint64(ran)*64)
	}
	counters := (*[kernelClasses]uint64)(unsafe.Pointer(kernel))
	for class := range kernelParts {
		if now, before := counters[class], s.account.kernel[class]; now > before && kernelParts[class] != 0 {
			s.part(kernelParts[class], now-before)
		}
	}
	if now, before := kernel.minorFault, s.account.minorFault; now > before {
		s.part(partMinorFault, now-before)
	}
	if faults := increase(kernel.minorFaults, s.account.faults); faults != 0 {
		s.item(itemInt, uint16(KeyTandemPageFaults), uint64(faults))
	}
	s.measureConnections(at)
	return true
}

// part appends one part.
//
//go:norace
func (s *Span) part(part uint16, spent uint64) { s.item(itemPart, part, spent) }

// item appends a number; its room is reserved.
//
//go:norace
func (s *Span) item(kind uint32, key uint16, value uint64) {
	place := unsafe.Add(s.entry, s.used)
	*(*uint32)(place) = uint32(key) | (kind<<12|8)<<16
	*(*uint64)(unsafe.Add(place, 4)) = value
	*(*uint32)(unsafe.Add(place, 12)) = 0 // pads the record to 8 bytes
	s.used += 12
}
