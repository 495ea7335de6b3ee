// Command logs measures a call of slog (a message and five attributes to the JSON handler, which writes to nobody) and of
// log, inside a span. It is built plainly and woven; run.sh runs both in all modes and makes the table.
//
// Calls come in bursts that fit the ring, with pauses in which an agent empties it. Only the bursts are measured, by the
// process's own CPU time; the fastest quarter counts, since what disturbs a shared machine only ever adds.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"runtime"
	"sort"
	"syscall"
	"time"
)

const burst = 500

func main() {
	bursts := flag.Int("bursts", 200, "bursts of 500 calls for each figure")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	logger := slog.New(slog.NewJSONHandler(io.Discard, nil))
	ctx := context.Background()
	measure("slog", *bursts, func(n int) {
		logger.LogAttrs(ctx, slog.LevelInfo, "the request was answered", slog.String("method", "GET"), slog.String("route", "/api/v1/items/{id}"),
			slog.Int("status", 200), slog.Duration("took", time.Duration(n)), slog.Bool("cached", false))
	})
	out := log.New(somewhere{}, "", log.LstdFlags)
	measure("log", *bursts, func(n int) { out.Printf("the request was answered with %d in %d ns", 200, n) })
}

// somewhere is not io.Discard, for which log does nothing at all.
type somewhere struct{}

func (somewhere) Write(line []byte) (int, error) { return len(line), nil }

func measure(name string, bursts int, call func(int)) {
	times := make([]float64, 0, bursts)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for count := 0; count < bursts; count++ {
		inSpan(func() {
			start := cpu()
			for n := 0; n < burst; n++ {
				call(n)
			}
			times = append(times, float64(cpu()-start)/burst)
		})
		time.Sleep(25 * time.Millisecond)
	}
	runtime.ReadMemStats(&after)
	sort.Float64s(times)
	fastest := times[:(len(times)+3)/4]
	sum := 0.0
	for _, one := range fastest {
		sum += one
	}
	calls := float64(bursts * burst)
	fmt.Printf("%s %.0f %.1f %.2f\n", name, sum/float64(len(fastest)), float64(after.TotalAlloc-before.TotalAlloc)/calls, float64(after.Mallocs-before.Mallocs)/calls)
}

// inSpan has a span where it is woven.
//
//tandem:span request
func inSpan(do func()) { do() }

func cpu() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}
