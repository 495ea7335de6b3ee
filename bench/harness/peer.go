package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// tool is a program that observes a process from its start until it is told to end. All that it says may say that it has begun.
type tool struct {
	name        string
	command     func(pid int) []string
	environment []string
	begun       string // a part of the line that says so
}

// attachTool is `tandem attach`.
func (b *bench) attachTool() tool {
	store := filepath.Join(b.work, "attached")
	return tool{name: "attach", begun: "observing 1 program", command: func(pid int) []string {
		os.RemoveAll(store)
		return []string{b.tandem, "attach", "--no-ui", "--store", store, fmt.Sprint(pid)}
	}}
}

// peerName is what the peer is called in rows.
const peerName = "opentelemetry-go-instrumentation"

// peerTool is opentelemetry-go-instrumentation, as bench/peer/build.sh builds it. An error that is an errSkipped says why it is left out.
//
// Of a server of grpc it makes a span of about fifty calls of its life (v0.24.0): where a traceparent is kept is freed never, and calls that find no room get the
// trace id zero. Its default sampler leaves these out in the kernel; told to take all, it takes, sends and reads every call, and drops them at the very end. So
// what it costs the server is what it would cost if that was repaired.
func (b *bench) peerTool() (tool, error) {
	started := time.Now()
	build := exec.CommandContext(b.ctx, filepath.Join(b.folder, "peer", "build.sh"))
	build.Stderr = os.Stderr
	output, err := build.Output()
	if b.ctx.Err() != nil {
		return tool{}, b.ctx.Err()
	}
	if err != nil {
		return tool{}, errSkipped{peerName + " cannot be built here (bench/peer/build.sh)"}
	}
	if took := time.Since(started); took > 3*time.Second {
		b.say("built %s in %.0f s", peerName, took.Seconds())
	}
	command := strings.TrimSpace(string(output))
	return tool{name: "peer", begun: "instrumentation loaded successfully", environment: []string{"OTEL_TRACES_SAMPLER=always_on"}, command: func(pid int) []string {
		return []string{command, "-target-pid", fmt.Sprint(pid)}
	}}, nil
}

// observe starts the tool on a process, and waits until it observes it.
func (t tool) observe(b *bench, pid int, environment ...string) (*running, error) {
	command := pinned(otherCore, t.command(pid)...)
	r := &running{process: exec.CommandContext(b.ctx, command[0], command[1:]...), errors: &tail{}}
	r.process.Env = append(append(os.Environ(), t.environment...), environment...)
	output, err := r.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.process.Stderr = r.process.Stdout
	if err := r.process.Start(); err != nil {
		return nil, err
	}
	r.output = bufio.NewReader(output)
	for until := time.Now().Add(time.Minute); ; {
		line, err := r.next(time.Until(until))
		if err != nil {
			r.stop()
			return nil, fmt.Errorf("%s has not begun to observe: %w\n%s", filepath.Base(command[3]), err, r.errors)
		}
		if strings.Contains(line, t.begun) {
			return r, nil
		}
		fmt.Fprintln(r.errors, line)
	}
}

// told is what a tool did about a server's requests.
type told struct {
	Requests float64 `json:"requests"` // while it observed
	Spans    float64 `json:"spans"`    // of them, that have arrived
	Measured float64 `json:"measured"` // requests of the phases
	CPU      float64 `json:"cpu_ns"`   // in these, of the tool's own process
}

// phase is the server's CPU time of a request while a tool observes it, which is started for that and ended. What the tool did is added to `sum`. One that
// makes no spans is an error: what it costs could be compared with nothing.
func (s *observedServer) phase(b *bench, t tool, lasting time.Duration, sum *told) (each float64, err error) {
	arrived := s.sink.spans()
	observing, err := t.observe(b, s.running.process.Process.Pid, s.sink.environment()...)
	if err != nil {
		return 0, err
	}
	defer observing.stop()
	first, err := s.counts.count()
	if err != nil {
		return 0, err
	}
	time.Sleep(300 * time.Millisecond) // what is made once is made now
	own := processCPU(observing.process.Process.Pid)
	done, cpu, err := s.counts.phase(lasting)
	if err != nil {
		return 0, err
	}
	sum.CPU += float64(processCPU(observing.process.Process.Pid) - own)
	sum.Measured += done
	last, err := s.counts.count()
	if err != nil {
		return 0, err
	}
	observing.stop()
	arrived = s.sink.spans() - arrived
	if arrived == 0 {
		return 0, fmt.Errorf("%s: no spans have arrived of %.0f requests\n%s", t.name, last.Done-first.Done, observing.errors)
	}
	sum.Requests += last.Done - first.Done
	sum.Spans += float64(arrived)
	return cpu / done, nil
}
