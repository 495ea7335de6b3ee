// Command functions measures a function that was woven dormant as MooBench does: it calls itself, ten deep. A copy of it
// that was left alone is the base. It must be built by `tandem go build`. Under an agent each measurement waits until its
// spans have been taken; without one the rings are full, and every record is dropped and counted.
package main

import (
	"flag"
	"log"
	"os"
	"runtime"
	"time"

	"example.com/bench/programs/control"
	"example.com/bench/programs/paired"
)

const (
	depth = 10
	// Spans of so many calls fit a ring.
	count = 200
)

// work is what the deepest call does: next to nothing, as all that is measured is the calls.
var work = func() int { return 1 }

//go:noinline
func woven(depth int) int {
	if depth <= 1 {
		return work()
	}
	below := woven(depth - 1)
	return below + 1
}

//go:noinline
func plain(depth int) int {
	if depth <= 1 {
		return work()
	}
	below := plain(depth - 1)
	return below + 1
}

var sink int

func main() {
	limit := flag.Duration("limit", time.Minute, "time after which to end early")
	rounds := flag.Int("rounds", 400, "rounds")
	agent := flag.Bool("agent", false, "an agent takes the spans")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	memory, err := control.Open()
	if err != nil {
		log.Fatal(err)
	}
	if !*agent {
		if err := memory.KeepAgentsAway(); err != nil {
			log.Fatal(err)
		}
	}
	function, err := memory.Function("woven")
	if err != nil {
		log.Fatal(err)
	}
	taken := func() {
		for limit := time.Now().Add(time.Second); *agent && memory.Waiting() > 0 && time.Now().Before(limit); {
			time.Sleep(time.Millisecond)
		}
	}
	calls := func(n int) {
		for ; n > 0; n-- {
			sink += woven(depth)
		}
	}
	cases := []paired.Case{
		{Name: "plain", Count: 10 * count, Do: func(n int) {
			for ; n > 0; n-- {
				sink += plain(depth)
			}
		}},
		{Name: "off", Count: 10 * count, Do: calls, Set: function.Off},
		{Name: "on", Count: count, Do: calls, Set: func() { function.On(0) }, Clear: func() { function.Off(); taken() }},
		{Name: "limited", Count: count, Do: calls, Set: func() { function.On(1) }, Clear: function.Off},
	}
	written, dropped := memory.Written(), memory.Dropped()
	figures := paired.New("ns")
	paired.Loop(figures, *rounds, *limit, cases)
	if err := control.Recorded(memory.Written()-written, memory.Dropped()-dropped, count*depth, true); err != nil {
		log.Fatal(err)
	}
	figures.Counts["dropped"] = float64(memory.Dropped())
	if err := figures.Write(os.Stdout); err != nil {
		log.Fatal(err)
	}
}
