// Known-waits spends time in known ways inside spans, stamps each wait itself, and writes down what it stamped, so that
// the test that runs it (../main.rs) can compare the anatomy of the spans with it.
//
//	known-waits MODE FOLDER REPORT
//
// MODE is how busy the machine is meanwhile: alone, processes (others hog the CPUs), goroutines (our own hog them),
// garbage (the collector is kept busy), requests (200 spans at once), unread (nobody looks whether
// there is something to read), detail (what only that mode tells), stopped (somebody stops the world), throttled (in a control group, whose folder is
// $KNOWN_WAITS_GROUP, that may use half of a CPU) or loss (in a network of its own, which loses packets). FOLDER is for the files that are locked and
// synced. REPORT gets one JSON object a span. The program is plain Go: its only trace of Tandem is one comment.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const (
	repetitions = 5
	requests    = 200
	pause       = 10 * time.Millisecond
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "hog" {
		for {
		}
	}
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: known-waits alone|processes|goroutines|garbage|requests|unread|detail|stopped|throttled|loss FOLDER REPORT")
		os.Exit(2)
	}
	mode, folder := os.Args[1], os.Args[2]
	stop := disturb(mode)
	var observations []*observation
	switch mode {
	case "requests":
		observations = manyRequests()
	case "unread":
		runtime.GOMAXPROCS(1)
		observations = oneByOne(mode, newUnread())
	case "detail":
		observations = oneByOne(mode, newDetails())
	case "stopped":
		observations = oneByOne(mode, newStopped())
	case "loss":
		observations = oneByOne(mode, newLoss())
	case "throttled":
		observations = oneByOne(mode, newThrottled(os.Getenv("KNOWN_WAITS_GROUP")))
	default:
		observations = oneByOne(mode, newWaits(folder))
	}
	stop()
	report, err := os.Create(os.Args[3])
	check(err)
	lines := json.NewEncoder(report)
	for _, o := range observations {
		check(lines.Encode(o))
	}
	check(report.Close())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "known-waits:", err)
		os.Exit(1)
	}
}

// observation is what the program itself knows about one span.
type observation struct {
	Case   string `json:"case"`   // the span's attribute of that name
	Locked bool   `json:"locked"` // the goroutine was locked to its thread, so that CPUNanos holds
	// Wall time between the first and the last statement of the span.
	WallNanos int64 `json:"wall_ns"`
	// What the thread's CPU clock gained meanwhile.
	CPUNanos int64 `json:"cpu_ns"`
	// By part of the anatomy: the least and the most it can be. A wait lasts at least until the one who ends it has
	// stamped that it will, and at most until the waiter has stamped that it runs again.
	Parts map[string]*bounds `json:"parts"`
	start int64              // when the span began
	// Attributes of the span that are numbers, in the same way.
	Attributes map[string]*bounds `json:"attributes"`
}

type bounds struct {
	LeastNanos int64 `json:"least"`
	MostNanos  int64 `json:"most"`
}

// add notes a wait that began at `from`; whoever ended it stamped `ended` (0: unknown).
func (o *observation) add(part string, from, ended int64) {
	b := o.Parts[part]
	if b == nil {
		b = new(bounds)
		o.Parts[part] = b
	}
	if ended > from {
		b.LeastNanos += ended - from
	}
	b.MostNanos += now() - from
}

var base = time.Now()

func now() int64 { return int64(time.Since(base)) }

// measure is the span.
//
//tandem:span known-wait case=o.Case
func measure(o *observation, work func(*observation)) { stamp(o, work) }

// stamp notes how long the work takes.
func stamp(o *observation, work func(*observation)) {
	cpu, start := threadCPU(), now()
	o.start = start
	work(o)
	o.WallNanos = now() - start
	o.CPUNanos = threadCPU() - cpu
}

func oneByOne(mode string, waits []*wait) (all []*observation) {
	for _, locked := range []bool{false, true} {
		done := make(chan bool)
		go func() {
			defer close(done)
			if locked {
				runtime.LockOSThread()
			}
			for _, w := range waits {
				if locked && w.unlockedOnly || !locked && w.lockedOnly {
					continue
				}
				for i := 0; i < w.times(); i++ {
					name := mode + " " + w.name + " " + strconv.FormatBool(locked) + " " + strconv.Itoa(i)
					all = append(all, w.observe(name, locked))
				}
			}
		}()
		<-done
	}
	return all
}

func (w *wait) times() int {
	if w.slow {
		return 2
	}
	return repetitions
}

// observe runs a wait inside a span; what it needs is prepared before the span begins.
func (w *wait) observe(name string, locked bool) *observation {
	o := &observation{Case: name, Locked: locked, Parts: map[string]*bounds{}, Attributes: map[string]*bounds{}}
	work := w.prepare()
	if w.spanless {
		stamp(o, work)
	} else {
		measure(o, work)
	}
	return o
}

// manyRequests runs 200 spans at once; each does several waits. One in ten is locked to its thread.
func manyRequests() []*observation {
	all := make([]*observation, requests)
	var shared sync.Mutex
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range all {
		locked := i%10 == 0
		work := newRequest(&shared)
		done.Add(1)
		go func() {
			defer done.Done()
			if locked {
				runtime.LockOSThread()
			}
			start.Wait()
			o := &observation{Case: "requests " + strconv.Itoa(i), Locked: locked, Parts: map[string]*bounds{}, Attributes: map[string]*bounds{}}
			measure(o, work)
			all[i] = o
		}()
	}
	start.Done()
	done.Wait()
	return all
}

// disturb makes the machine as busy as the mode says, until the returned function is called.
func disturb(mode string) (stop func()) {
	switch mode {
	case "alone", "requests", "unread", "detail", "stopped", "throttled", "loss":
		return func() {}
	case "processes":
		var hogs []*exec.Cmd
		for i := 0; i < runtime.NumCPU(); i++ {
			hog := exec.Command("/proc/self/exe", "hog")
			dieWithParent(hog)
			hog.Env = []string{"OTEL_SDK_DISABLED=true"} // a copy of us, but none of its spans
			check(hog.Start())
			hogs = append(hogs, hog)
		}
		return func() {
			for _, hog := range hogs {
				hog.Process.Kill()
				hog.Wait()
			}
		}
	case "goroutines":
		return inBackground(runtime.NumCPU(), func() {
			for i := uint64(0); i < 1000; i++ {
				sink += i * i
			}
		})
	case "garbage":
		var keep [2048][]byte
		next := 0
		return inBackground(1, func() {
			keep[next%len(keep)] = make([]byte, 16<<10)
			next++
		})
	}
	check(fmt.Errorf("unknown mode %q", mode))
	return nil
}

// inBackground repeats work in so many goroutines.
func inBackground(count int, work func()) (stop func()) {
	quit := make(chan bool)
	var running sync.WaitGroup
	for i := 0; i < count; i++ {
		running.Add(1)
		go func() {
			defer running.Done()
			for {
				select {
				case <-quit:
					return
				default:
					work()
				}
			}
		}()
	}
	return func() {
		close(quit)
		running.Wait()
	}
}
