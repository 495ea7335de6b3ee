// Hot spends time in functions of known names, inside spans and outside of them, and writes down how much it was by the
// clocks of its own threads, so that the test that runs it (../main.rs) can compare profiles with it.
//
//	hot REPORT REQUESTS
//
// The program is plain Go: its only trace of Tandem are the comments above two functions.
package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	share   = 50 * time.Millisecond // of a CPU, for the smallest of the hot functions
	blocked = 60 * time.Millisecond
	rest    = 300 * time.Millisecond
)

// report is the time of each function, ns: on the CPU, or blocked.
type report struct {
	sync.Mutex
	CPU     map[string]int64
	Blocked map[string]int64
}

var found = report{CPU: map[string]int64{}, Blocked: map[string]int64{}}

func main() {
	requests, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	for i := 0; i < requests; i++ {
		request()
		outside()
	}
	file, err := os.Create(os.Args[1])
	if err == nil {
		err = json.NewEncoder(file).Encode(&found)
	}
	if err != nil {
		panic(err)
	}
}

//tandem:span
func request() {
	burning("main.plain", plain, 3*share)
	burning("main.inlined", around, 2*share)
	done := make(chan bool)
	go func() {
		burning("main.beside", beside, 2*share)
		close(done)
	}()
	<-done
	inner()
	blocking("main.sleeps", sleeps)
	blocking("main.rests", rests)
}

//tandem:span
func inner() { burning("main.deep", deep, share) }

//go:noinline
func outside() { burning("main.outer", outer, 2*share) }

// burning calls work until the thread's clock says that it has had so much.
func burning(name string, work func(), limit time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime()
	spent := time.Duration(0)
	for ; spent < limit; spent = threadTime() - start {
		work()
	}
	found.Lock()
	found.CPU[name] += int64(spent)
	found.Unlock()
}

func blocking(name string, work func()) {
	start := time.Now()
	work()
	found.Lock()
	found.Blocked[name] += int64(time.Since(start))
	found.Unlock()
}

var sink uint64

// inlined is so small that the compiler puts it into its caller.
func inlined(x uint64) uint64 {
	x ^= x << 13
	x ^= x >> 7
	return x ^ x<<17
}

//go:noinline
func around() {
	x := sink | 1
	for i := 0; i < 100000; i++ {
		x = inlined(x)
	}
	sink = x
}

//go:noinline
func plain() { spin(1) }

//go:noinline
func beside() { spin(2) }

//go:noinline
func deep() { spin(3) }

//go:noinline
func outer() { spin(4) }

// spin has no frame: its caller's address is at the top of the stack only.
//
//go:noinline
func spin(x uint64) {
	for i := uint64(0); i < 100000; i++ {
		x = x*3 + i
	}
	sink = x
}

// sleeps is blocked in a system call, thread and all.
//
//go:noinline
func sleeps() {
	time := syscall.NsecToTimespec(int64(blocked))
	syscall.Nanosleep(&time, nil)
}

// rests waits in Go's own way: the goroutine is parked, and its thread does other things.
//
//go:noinline
func rests() { <-time.After(rest) }

func threadTime() time.Duration {
	const threadClock = 3
	var now syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, threadClock, uintptr(unsafe.Pointer(&now)), 0)
	return time.Duration(now.Nano())
}
