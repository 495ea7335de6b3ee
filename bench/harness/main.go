// Command harness runs the parts of the benchmark one after another, prints one table and keeps the raw figures.
//
// What always holds: everything is compared within one run, interleaved or paired, with a control beside it that compares
// two equal things the same way; nothing is judged finer than that control allows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// part is one study. Its rows go into the table, its raw figures into raw/<name>.json.
type part struct {
	name string
	what string
	run  func(*bench) (*outcome, error)
}

var parts = []part{
	{"span", "a span in the program, against the OpenTelemetry Go SDK", spanPart},
	{"hello-memory", "a request to net/http over a connection in memory", memoryPart},
	{"functions", "a function woven dormant, that calls itself ten deep", functionsPart},
	{"park", "park and unpark of a goroutine", parkPart},
	{"start", "the life of a program that does nothing", startPart},
	{"hello-sockets", "a saturated net/http server, against one instrumented by hand", socketsPart},
	{"libraries", "calls of net/http, grpc, database/sql and slog, against contrib libraries by hand", librariesPart},
	{"packs", "the same and calls of more packs, each by a file of its own", packsPart},
	{"kernel", "the kernel half, for programs that are watched and for others", kernelPart},
	{"profile", "a saturated net/http server, sampled", profilePart},
	{"accuracy", "whether each span hangs where it belongs", accuracyPart},
	{"unwoven", "a saturated net/http server that nobody wove, with probes", unwovenPart},
	{"agent", "the agent, from ring to OTLP bytes", agentPart},
	{"receive", "OTLP in to OTLP out, beside the OpenTelemetry Collector", receivePart},
	{"fleet", "what an agent, a Collector and a trace database carry, one behind the other", fleetPart},
	{"sampling", "spans that wait for the decision on their trace: memory, and CPU time", samplingPart},
	{"store", "the local store: spans in beside readers, and found among ten million", storePart},
	{"build", "CPU time of builds, and the binary's size", buildPart},
}

// errSkipped: the part cannot run here; its text says why.
type errSkipped struct{ reason string }

func (e errSkipped) Error() string { return e.reason }

func main() {
	if len(os.Args) > 1 && os.Args[1] == "sink" {
		serveSink()
		return
	}
	folder := flag.String("folder", ".", "the bench folder")
	tandem := flag.String("tandem", "tandem", "the tandem binary")
	quick := flag.Bool("quick", false, "a smoke run of about a minute; its figures mean nothing")
	flag.Usage = usage
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{ctx: ctx, folder: *folder, tandem: *tandem, quick: *quick}
	if err := b.run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: bench/run.sh TANDEM [--quick] [PART…]\n\nparts:")
	for _, p := range parts {
		fmt.Fprintf(os.Stderr, "  %-14s %s\n", p.name, p.what)
	}
}

// bench is one run of the benchmark.
type bench struct {
	ctx    context.Context
	folder string // bench/
	tandem string // the tandem binary
	work   string // temporary files of this run
	quick  bool
}

func (b *bench) run(only []string) (err error) {
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp("", "tandem-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	if err := os.MkdirAll(b.raw("bin"), 0o755); err != nil {
		return err
	}
	report := newReport(b)
	var failed error
	for _, p := range chosen {
		if err := b.runPart(p, report); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", p.name, err)
			failed = errors.New("a part could not be run")
		}
		if b.ctx.Err() != nil {
			return errors.New("interrupted")
		}
	}
	report.print(os.Stdout)
	if !b.quick && len(only) == 0 && failed == nil {
		failed = report.keep(filepath.Join(b.folder, "results.md"))
	}
	return failed
}

func choose(only []string) ([]part, error) {
	if len(only) == 0 {
		return parts, nil
	}
	var chosen []part
	for _, name := range only {
		found := false
		for _, p := range parts {
			if p.name == name {
				chosen, found = append(chosen, p), true
			}
		}
		if !found {
			usage()
			return nil, fmt.Errorf("no part is called %q", name)
		}
	}
	return chosen, nil
}

func (b *bench) runPart(p part, report *report) error {
	started := time.Now()
	b.say("%s: %s", p.name, p.what)
	outcome, err := p.run(b)
	var skipped errSkipped
	if errors.As(err, &skipped) {
		report.skip(p.name, skipped.reason)
		return nil
	}
	if err != nil {
		return err
	}
	b.say("%s: done in %.0f s", p.name, time.Since(started).Seconds())
	report.add(p.name, outcome)
	return outcome.write(b.raw(p.name + ".json"))
}

// raw is a path under bench/raw, which git ignores.
func (b *bench) raw(name string) string { return filepath.Join(b.folder, "raw", name) }

func (b *bench) say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", values...)
}

// pick is the full run's value, or the smoke run's.
func pick[T any](b *bench, full, quick T) T {
	if b.quick {
		return quick
	}
	return full
}
