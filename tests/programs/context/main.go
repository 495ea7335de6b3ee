// Context-bed runs every shape of concurrency that Go programs have, all of them at once, and says on each of its spans
// what its parent must be. It knows that by construction: truth.go has the words, docs/context.md the rules.
//
//	context-bed -spans 20000
//	context-bed -for 1h -rate 1000
//
// With -read it makes no span more than some thousand ahead of its reader, who says on standard input, in lines, how many
// of them have arrived: one that is lost on the way has no parent.
//
// After a tenth of its work and at the end it comes to rest and prints a line "measure {…}": its memory, goroutines, and
// how many spans are open. It ends with "spans N", the number of spans that it has made by itself.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// shape is one shape; it is run again and again, on a goroutine without a context of its own.
type shape struct {
	name  string
	every int // is run in every so many turns; 0: in each
	run   func(r round)
}

var shapes []shape

func main() {
	spans := flag.Int64("spans", 20000, "end after so many spans")
	duration := flag.Duration("for", 0, "end after so long instead")
	rate := flag.Int64("rate", 0, "at most so many spans a second; 0: as many as are read")
	read := flag.Bool("read", false, "wait for a reader who counts on standard input")
	only := flag.String("only", "", "shapes, separated by commas; all if empty")
	flag.Parse()

	if *only != "" {
		var chosen []shape
		for _, shape := range shapes {
			if strings.Contains(","+*only+",", ","+shape.name+",") {
				chosen = append(chosen, shape)
			}
		}
		shapes = chosen
	}
	memory := mapMemory()
	arrived := &reader{}
	if *read {
		arrived.follow()
	}
	check(pprof.StartCPUProfile(io.Discard)) // its signals come at any moment
	start := time.Now()
	enough := func(parts int64) func() bool {
		if *duration != 0 {
			return func() bool { return time.Since(start) > *duration*time.Duration(parts)/10 }
		}
		return func() bool { return made.Load() > *spans*parts/10 }
	}
	pace := func() {
		memory.wait()
		arrived.wait(4000)
		if ahead := made.Load() - *rate*int64(time.Since(start)/time.Millisecond)/1000; *rate != 0 && ahead > 0 {
			time.Sleep(time.Duration(ahead) * time.Second / time.Duration(*rate))
		}
	}
	run(enough(1), pace)
	memory.measure()
	run(enough(10), pace)
	memory.measure()
	pprof.StopCPUProfile()
	arrived.wait(0)
	fmt.Println("spans", made.Load())
}

// reader is who reads the spans.
type reader struct {
	follows bool
	count   atomic.Int64
}

func (r *reader) follow() {
	r.follows = true
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			count, err := strconv.ParseInt(lines.Text(), 10, 64)
			check(err)
			r.count.Store(count)
		}
		r.count.Store(math.MaxInt64) // there is nobody any more
	}()
}

// wait waits until no more than that many spans are on their way.
func (r *reader) wait(ahead int64) {
	for r.follows && made.Load()-r.count.Load() > ahead {
		time.Sleep(time.Millisecond)
	}
}

// run lets some goroutines take turns with the shapes, each from another one on, until it is enough and each shape has
// had its turn.
func run(enough func() bool, pace func()) {
	const workers = 8
	var turns atomic.Int64
	var done sync.WaitGroup
	for worker := 0; worker < workers; worker++ {
		done.Add(1)
		go func(worker int) {
			defer done.Done()
			for turn := worker * len(shapes) / workers; !enough() || turns.Load() < int64(2*len(shapes)); turn++ {
				shape := shapes[turn%len(shapes)]
				if shape.every > 1 && turn/len(shapes)%shape.every != worker%shape.every {
					turns.Add(1)
					continue
				}
				pace()
				shape.run(round{shape.name})
				turns.Add(1)
			}
		}(worker)
	}
	done.Wait()
}

// measure waits until the program has come to rest, and prints what it holds then.
func (m *memory) measure() {
	rest()
	var stats runtime.MemStats
	var last uint64
	for attempt := 0; attempt < 50; attempt++ { // finalizers and what they free take a few turns
		time.Sleep(20 * time.Millisecond)
		debug.FreeOSMemory()
		runtime.ReadMemStats(&stats)
		if attempt > 2 && stats.HeapAlloc >= last {
			break
		}
		last = stats.HeapAlloc
	}
	open := m.open()
	for attempt := 0; attempt < 500 && open != 0; attempt++ {
		time.Sleep(20 * time.Millisecond)
		open = m.open()
	}
	line, err := json.Marshal(map[string]int64{
		"spans": made.Load(), "heap": int64(stats.HeapAlloc), "objects": int64(stats.HeapObjects),
		"resident": resident(), "goroutines": int64(runtime.NumGoroutine()), "open": open, "dropped": m.dropped(),
	})
	check(err)
	fmt.Printf("measure %s\n", line)
}

func check(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "context-bed: %v\n%s", err, debug.Stack())
		os.Exit(1)
	}
}
