package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The observer (crates/probe/examples/observe.rs) places probes in a process and takes them out as it is told.

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

// hundredProbes places and takes out a hundred probes, some times: how long that takes, ms.
func (b *bench) hundredProbes(observer string) (attach, detach []float64, err error) {
	server, err := b.startObserved("http")
	if err != nil {
		return nil, nil, err
	}
	defer server.stop()
	probes, err := b.observe(observer, server.running.process.Process.Pid)
	if err != nil {
		return nil, nil, err
	}
	defer probes.end()
	for times := pick(b, 10, 2); times > 0; times-- {
		placed, err := probes.order("nothing 100")
		if err != nil {
			return nil, nil, err
		}
		removed, err := probes.order("off")
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
