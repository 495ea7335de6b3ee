package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// unwovenPart: what probes cost a program that nobody wove: a saturated plain net/http server, whose probes are placed and
// taken out meanwhile. Probes at the places that `tandem attach` takes are compared with the naive way (first instruction, every return), which runs the same
// programs, and with none.
func unwovenPart(b *bench) (*outcome, error) {
	if os.Geteuid() != 0 {
		return nil, errSkipped{"probes need root"}
	}
	observer, err := b.buildObserver()
	if err != nil {
		return nil, err
	}
	plain, err := b.build("kernel", false)
	if err != nil {
		return nil, err
	}
	server, err := b.start(pinned(serverCore, plain, "http"), b.noAgent())
	if err != nil {
		return nil, err
	}
	defer server.stop()
	counters, serves, _ := strings.Cut(server.line, " ")
	load, err := b.startLoad("http://"+serves, "30m")
	if err != nil {
		return nil, err
	}
	defer load.stop()
	probes, err := b.observe(observer, server.process.Process.Pid)
	if err != nil {
		return nil, err
	}
	defer probes.end()
	m := &kernelMeasurement{counters: "http://" + counters + "/count"}
	found := figures{Unit: "ns", Rounds: map[string][]float64{}}
	times := map[string][]float64{}
	cases := []string{"off", "off'", "cheap", "cheap'", "naive", "naive'"}
	time.Sleep(pick(b, time.Second, 300*time.Millisecond)) // until it is warm
	for rounds := pick(b, 40, 2); rounds > 0; rounds-- {
		for _, index := range rand.Perm(len(cases)) {
			order := strings.TrimSuffix(cases[index], "'")
			took, err := probes.order(order)
			if err != nil {
				return nil, err
			}
			times[order] = append(times[order], took)
			done, cpu, err := m.phase(pick(b, 150*time.Millisecond, 50*time.Millisecond))
			if err != nil {
				return nil, err
			}
			found.Rounds[cases[index]] = append(found.Rounds[cases[index]], cpu/done)
		}
	}
	attach, detach, err := probes.hundred(pick(b, 10, 2))
	if err != nil {
		return nil, err
	}
	times["100 probes placed"], times["100 probes taken out"] = attach, detach
	trips, err := b.roundTrips(observer)
	if err != nil {
		return nil, err
	}
	cheap := found.added("HTTP server: CPU a request, observed", "cheap", "off", atMost(ofDifference, 5000))
	naive := found.added("HTTP server: CPU a request, with naive probes", "naive", "off", nil)
	return &outcome{
		Raw: map[string]any{"cpu": found, "milliseconds": times, "round trips": trips},
		Rows: []row{
			cheap, naive,
			trips.added("HTTP client: a round trip, observed", "cheap", "off", nil),
			trips.added("HTTP client: a round trip, traceparent inserted (base: observed)", "insert", "cheap", atMost(ofDifference, 5000)),
			{What: "100 probes: placed in", Unit: "ms", Value: median(attach), Goal: atMost(ofValue, 1000)},
			{What: "100 probes: taken out in", Unit: "ms", Value: median(detach), Goal: atMost(ofValue, 1000)},
		},
	}, nil
}

// roundTrips is how long a request takes a client that is observed, and one into whose requests a header is inserted. Each
// phase has a connection of its own, since what is done to a connection is done for its life.
func (b *bench) roundTrips(observer string) (*figures, error) {
	plain, err := b.build("roundtrip", false)
	if err != nil {
		return nil, err
	}
	// Both on one processor: to wake another one takes longer, and differs more, than what is looked for.
	server, err := b.start(pinned(serverCore, plain, "server"), b.noAgent())
	if err != nil {
		return nil, err
	}
	defer server.stop()
	client, err := b.start(pinned(serverCore, plain, "client", server.line), b.noAgent())
	if err != nil {
		return nil, err
	}
	defer client.stop()
	probes, err := b.observe(observer, client.process.Process.Pid)
	if err != nil {
		return nil, err
	}
	defer probes.end()
	found := &figures{Unit: "ns", Rounds: map[string][]float64{}}
	cases := []string{"off", "off'", "cheap", "cheap'", "insert", "insert'"}
	for rounds := pick(b, 60, 2); rounds > 0; rounds-- {
		for _, index := range rand.Perm(len(cases)) {
			if _, err := probes.order(strings.TrimSuffix(cases[index], "'")); err != nil {
				return nil, err
			}
			answer, err := http.Get("http://" + client.line + "/phase?time=" + pick(b, "100ms", "20ms"))
			if err != nil {
				return nil, err
			}
			var count, took float64
			_, err = fmt.Fscan(answer.Body, &count, &took)
			answer.Body.Close()
			if err != nil || count == 0 {
				return nil, fmt.Errorf("the client made no requests: %v, %s", err, client.errors)
			}
			found.Rounds[cases[index]] = append(found.Rounds[cases[index]], took/count)
		}
	}
	return found, nil
}

// buildObserver builds what places probes on request (crates/probe/examples/observe.rs).
func (b *bench) buildObserver() (string, error) {
	build := exec.CommandContext(b.ctx, "cargo", "build", "--quiet", "--release", "--package", "probe", "--example", "observe")
	build.Dir = filepath.Join(b.folder, "..")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the observer: %w\n%s", err, output)
	}
	target := os.Getenv("CARGO_TARGET_DIR")
	if target == "" {
		target = filepath.Join(b.folder, "..", "target")
	}
	return filepath.Join(target, "release", "examples", "observe"), nil
}

// observing is an observer that waits for orders.
type observing struct {
	running *running
	input   io.WriteCloser
}

func (b *bench) observe(observer string, pid int) (*observing, error) {
	command := pinned(otherCore, observer, fmt.Sprint(pid))
	o := &observing{running: &running{process: exec.CommandContext(b.ctx, command[0], command[1:]...), errors: &tail{}}}
	o.running.process.Stderr = o.running.errors
	output, err := o.running.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if o.input, err = o.running.process.StdinPipe(); err != nil {
		return nil, err
	}
	o.running.output = bufio.NewReader(output)
	return o, o.running.process.Start()
}

// order has it do something; how long that took, in milliseconds.
func (o *observing) order(order string) (took float64, err error) {
	fmt.Fprintln(o.input, order)
	line, err := o.running.next(time.Minute)
	if err != nil {
		return 0, fmt.Errorf("the observer: %w\n%s", err, o.running.errors)
	}
	var probes int
	if _, err := fmt.Sscan(line, &took, &probes); err != nil {
		return 0, fmt.Errorf("the observer said %q", line)
	}
	return took, nil
}

// hundred places and takes out a hundred probes, some times.
func (o *observing) hundred(times int) (attach, detach []float64, err error) {
	for ; times > 0; times-- {
		if _, err := o.order("off"); err != nil {
			return nil, nil, err
		}
		placed, err := o.order("nothing 100")
		if err != nil {
			return nil, nil, err
		}
		removed, err := o.order("off")
		if err != nil {
			return nil, nil, err
		}
		attach, detach = append(attach, placed), append(detach, removed)
	}
	return attach, detach, nil
}

func (o *observing) end() {
	o.input.Close()
	o.running.stop()
}
