package rt

import "unsafe"

// The runtime's functions that rt calls. Those that begin with runtime_ are added to the runtime by the weaver
// (go/rt/runtime); the others are Go's own.

// runtime_slot returns the address of the state behind the current g. Never call it on a g0.
//
//go:linkname runtime_slot
//go:noescape
func runtime_slot() unsafe.Pointer

// runtime_offsets tells where things lie: the slot, from g; g.m; m.g0; m.curg; the address of the first g0; the size of g
// with what lies behind it.
//
//go:linkname runtime_offsets
func runtime_offsets() (slot, gm, mg0, curg, firstg0, size uintptr)

// runtime_goroutines tells where all goroutines are: the addresses of runtime.allgptr and of runtime.allglen, and offsets
// from g: its stack's bounds, its status, and the stack pointer, place and frame pointer that it goes on with.
//
//go:linkname runtime_goroutines
func runtime_goroutines() (all, count, stack, status, sp, pc, bp uintptr)

// runtime_panics is how many panics this goroutine has not recovered from: more than one where a deferred function panics.
//
//go:linkname runtime_panics
func runtime_panics() uint32

// runtime_panicked is what the newest of them was raised with; false: there is none, or it is a runtime.Goexit.
//
//go:linkname runtime_panicked
func runtime_panicked() (value any, panicking bool)

// runtime_monitor has read called about once a second, by a goroutine that counts as one of the runtime's own, while what
// heartbeat points to is young. It never blocks a deadlock from being found. False: it cannot be started; runtime_accounts
// comes first.
//
//go:linkname runtime_monitor
func runtime_monitor(heartbeat *uint64, read func()) bool

// runtime_accounts tells the runtime where the accounts are: the kernel's, if there are any, and what it keeps itself of
// the first count of them. It returns false where that is not possible.
//
//go:linkname runtime_accounts
func runtime_accounts(accounts *unsafe.Pointer, slots *uint32, own unsafe.Pointer, count uint32) bool

// runtime_readMetrics is what runtime/metrics.Read calls. It stops nothing.
//
//go:linkname runtime_readMetrics runtime/metrics.runtime_readMetrics
func runtime_readMetrics(samples unsafe.Pointer, size, capacity int)

// runtime_count lets the runtime take the moments of Go's waits from the processor's counter, in place of nanotime.
//
//go:linkname runtime_count
func runtime_count()

// runtime_library says whether this is a library in somebody else's program.
//
//go:linkname runtime_library
func runtime_library() bool

// nanotime reads CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

// procPin keeps the goroutine on its P, and returns the P's number, until procUnpin.
//
//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()

// memmove copies; unlike copy, it does not tell the race detector, which knows nothing of the locks of records.
//
//go:linkname memmove runtime.memmove
//go:noescape
func memmove(to, from unsafe.Pointer, size uintptr)

// slot mirrors the state behind g. Its counters are cumulative over the life of the g struct, which Go reuses.
type slot struct {
	context unsafe.Pointer // *Span: the context record; newproc1 copies it to the new goroutine and marks it captured
	index   uint32         // account index; 0: none yet; belongs to the g struct for good
	on      uint32         // not 0: the runtime adds up this goroutine's waits
	stamp   int64          // nanotime of the last change of state, to within some 100 ns
	ns      [9]int64       // nanoseconds waited, by class; see goParts
	exit    int32          // what os.Exit was called with
	cgo     uint32         // time that C code ran on a CPU, in 64 ns; wraps
	coro    unsafe.Pointer // the runtime's
	log     uint64         // the log record that is on its way; see log.go
}

// here returns the current goroutine's slot. The pointer must not outlive the caller.
//
//go:norace
func here() *slot { return (*slot)(runtime_slot()) }
