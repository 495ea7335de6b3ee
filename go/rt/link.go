package rt

import "unsafe"

// The runtime's functions that rt calls. runtime_slot and runtime_offsets are added to the runtime by the weaver
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

// slot mirrors the state behind g. Its counters are cumulative over the life of the g struct, which Go reuses.
type slot struct {
	context unsafe.Pointer // *Span: the context record; newproc1 copies it to the new goroutine and marks it captured
	index   uint32         // account index; 0: none yet; belongs to the g struct for good
	on      uint32         // not 0: the runtime adds up this goroutine's waits
	stamp   int64          // time of the last change of state
	ns      [10]int64      // nanoseconds waited, by class; see goParts
	log     uint64         // the log record that is on its way; see log.go
}

// here returns the current goroutine's slot. The pointer must not outlive the caller.
//
//go:norace
func here() *slot { return (*slot)(runtime_slot()) }
