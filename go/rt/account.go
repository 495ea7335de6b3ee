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
	kernelClasses = 13 // two of them are no times
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

// partsSize is the room that all parts together need in a record.
const partsSize = (goClasses + kernelClasses - 2 + 1) * 12

// agentSilence is how long the agent may be silent, ns, before its half of the accounts counts as dead.
const agentSilence = 5e9

var (
	kernelAccounts     unsafe.Pointer // base of the account map; nil: no kernel half
	kernelAccountCount uint32
)

// account is a snapshot.
type account struct {
	stamp  int64
	cgo    uint32
	ns     [goClasses]int64
	kernel [kernelClasses]uint64
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
	if kernel := kernelSlot(s.index); kernel != nil {
		a.kernel = *kernel
		return true
	}
	return false
}

// kernelSlot returns the kernel's counters of an account, or nil.
//
//go:norace
func kernelSlot(index uint32) *[kernelClasses]uint64 {
	if index >= atomic.LoadUint32(&kernelAccountCount) {
		return nil
	}
	base := atomic.LoadPointer(&kernelAccounts)
	return (*[kernelClasses]uint64)(unsafe.Add(base, uintptr(index)*unsafe.Sizeof(accountLayout{})))
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
	for class := range goParts {
		if spent := at.ns[class] - s.account.ns[class]; spent > 0 {
			s.part(goParts[class], uint64(spent))
		}
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
	for class := range kernelParts {
		if now, before := kernel[class], s.account.kernel[class]; now > before && kernelParts[class] != 0 {
			s.part(kernelParts[class], now-before)
		}
	}
	return true
}

// part appends one part; its room is reserved.
//
//go:norace
func (s *Span) part(part uint16, spent uint64) {
	place := unsafe.Add(s.entry, s.used)
	*(*uint32)(place) = uint32(part) | (itemPart<<12|8)<<16
	*(*uint64)(unsafe.Add(place, 4)) = spent
	*(*uint32)(unsafe.Add(place, 12)) = 0 // pads the record to 8 bytes
	s.used += 12
}
