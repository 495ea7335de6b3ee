package main

import (
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// profilePart: what profiling at the default rate costs a saturated server. The kernel's own statistics say what the
// profiler's programs take, the threads' clocks what the agent adds; both together are judged. The server's CPU by request,
// with and without, in turns, is the check from outside: it sees the interrupt of each sample, too, but resolves only percents.
func profilePart(b *bench) (*outcome, error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return nil, errSkipped{"no wrk command; install the package wrk"}
	}
	binary, err := b.build("server", true)
	if err != nil {
		return nil, err
	}
	sink, err := b.startSink()
	if err != nil {
		return nil, err
	}
	defer sink.stop()
	if err := b.canProfile(binary); err != nil {
		return nil, err
	}
	result := &outcome{}
	costs := []profileCost{}
	for _, rate := range []string{"49", "199", "997"} {
		cost, err := b.profileCost(binary, rate)
		if err != nil {
			return nil, err
		}
		costs = append(costs, *cost)
		result.Rows = append(result.Rows, cost.rows()...)
	}
	turns, err := b.profileTurns(binary, sink)
	if err != nil {
		return nil, err
	}
	of := func(name string) (values []float64) {
		for _, each := range turns[name] {
			values = append(values, each.CPU)
		}
		return values
	}
	base, twin, profiled := of("agent"), of("agent'"), of("profiled")
	pairs, controls := make([]float64, len(base)), make([]float64, len(base))
	for index := range base {
		pairs[index] = profiled[index] - (base[index]+twin[index])/2
		controls[index] = twin[index] - base[index]
	}
	result.Rows = append(result.Rows, row{What: "CPU a request of the server, profiled (turns)", Unit: "µs",
		Base: pointer(median(append(base, twin...))), Value: median(profiled), Noise: interval(pairs),
		Control: pointer(median(controls)), Median: pointer(median(pairs))})
	result.Raw = map[string]any{"costs": costs, "turns": turns}
	return result, nil
}

// profiledRun is agentRun with profiles at a rate.
func (b *bench) profiledRun(kernel bool, rate, binary string) []string {
	var command []string
	for _, word := range b.agentRun(kernel, binary) {
		command = append(command, word)
		if word == "run" {
			command = append(command, "--profile="+rate)
		}
	}
	return command
}

func (b *bench) canProfile(binary string) error {
	server, err := b.start(b.profiledRun(false, "49", binary))
	if err != nil {
		return err
	}
	server.stop()
	if said := server.errors.String(); strings.Contains(said, "there are no profiles") {
		return errSkipped{strings.TrimSpace(said)}
	}
	return nil
}

// profileCost is what a saturated server was sampled at, and what that took.
type profileCost struct {
	Rate    string  `json:"rate"`
	Seconds float64 `json:"seconds"`
	// The kernel's programs, all of the machine.
	ClockRuns    float64 `json:"clock_runs"`
	ClockTime    float64 `json:"clock_ns"`
	SwitchRuns   float64 `json:"switch_runs"`
	SwitchTime   float64 `json:"switch_ns"`
	ProfilerTime float64 `json:"agent_thread_ns"` // of the agent's thread that takes samples
	Said         string  `json:"said"`
}

// profileCost runs the server under full load without the anatomy's probe, so that all eBPF programs are the profiler's.
func (b *bench) profileCost(binary, rate string) (*profileCost, error) {
	before, err := os.ReadFile(statisticsSwitch)
	if err == nil {
		err = os.WriteFile(statisticsSwitch, []byte("1"), 0o644)
	}
	if err != nil {
		return nil, errSkipped{"the kernel does not count what eBPF programs take: " + err.Error()}
	}
	defer os.WriteFile(statisticsSwitch, before, 0o644)
	server, err := b.start(b.profiledRun(false, rate, binary))
	if err != nil {
		return nil, err
	}
	defer server.stop()
	url := "http://" + server.line
	if _, err := b.load(url, "2s"); err != nil { // names of functions are looked up once
		return nil, err
	}
	pid := server.process.Process.Pid
	cost := &profileCost{Rate: rate}
	clockRuns, clockTime := programRunsOf(pid, "perf")
	switchRuns, switchTime := programRunsOf(pid, "raw_tracepoint")
	threads, started := threadsCPU(pid), time.Now()
	if _, err := b.load(url, pick(b, "10s", "1s")); err != nil {
		return nil, err
	}
	cost.Seconds = time.Since(started).Seconds()
	cost.ProfilerTime = threadsCPU(pid)["tandem-profile"] - threads["tandem-profile"]
	cost.ClockRuns, cost.ClockTime = programRunsOf(pid, "perf")
	cost.SwitchRuns, cost.SwitchTime = programRunsOf(pid, "raw_tracepoint")
	cost.ClockRuns, cost.ClockTime = cost.ClockRuns-clockRuns, cost.ClockTime-clockTime
	cost.SwitchRuns, cost.SwitchTime = cost.SwitchRuns-switchRuns, cost.SwitchTime-switchTime
	server.stop()
	cost.Said = server.errors.String()
	if !strings.Contains(cost.Said, "profile sample") || cost.ClockRuns == 0 {
		return nil, errors.New("the server was not sampled: " + cost.Said)
	}
	return cost, nil
}

func (c *profileCost) rows() []row {
	percent := func(time float64) float64 { return time / c.Seconds / 1e7 }
	at := fmt.Sprintf(" at %s Hz", c.Rate)
	whole := row{What: "all of it, of a core" + at, Unit: "%", Value: percent(c.ClockTime + c.SwitchTime + c.ProfilerTime)}
	if c.Rate == "49" {
		whole.Goal = atMost(ofValue, 1)
	}
	return []row{
		{What: "each tick of the clock" + at, Unit: "ns", Value: c.ClockTime / max(c.ClockRuns, 1)},
		{What: "each switch, all of the machine" + at, Unit: "ns", Value: c.SwitchTime / max(c.SwitchRuns, 1)},
		{What: "switches a second" + at, Value: c.SwitchRuns / c.Seconds},
		{What: "the agent's thread, of a core" + at, Unit: "%", Value: percent(c.ProfilerTime)},
		whole,
	}
}

// programRunsOf adds up the eBPF programs that a process has attached in one way, each once: how often they ran, and for
// how many nanoseconds.
func programRunsOf(pid int, linkType string) (runs, spent float64) {
	seen := map[float64]bool{}
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	for _, link := range links {
		text, _ := os.ReadFile(link)
		if !strings.Contains(string(text), "link_type:\t"+linkType) {
			continue
		}
		id := describes(link)["prog_id"]
		if id == 0 || seen[id] {
			continue
		}
		seen[id] = true
		program, err := openProgram(uint32(id))
		if err != nil {
			continue
		}
		counts := describes(fmt.Sprintf("/proc/self/fdinfo/%d", program))
		closeProgram(program)
		runs += counts["run_cnt"]
		spent += counts["run_time_ns"]
	}
	return runs, spent
}

// profileTurns runs the server with and without profiles, and once more without, in a new order each round.
func (b *bench) profileTurns(binary string, sink *sink) (map[string][]turn, error) {
	unsampled := func() []string { return b.agentRun(true, binary) }
	export := sink.environment()
	variants := []variant{
		{name: "agent", command: unsampled, environment: export},
		{name: "agent'", command: unsampled, environment: export},
		{name: "profiled", command: func() []string { return b.profiledRun(true, "49", binary) }, environment: export},
	}
	found := map[string][]turn{}
	for round := pick(b, 8, 1); round > 0; round-- {
		for _, index := range rand.Perm(len(variants)) {
			took, err := b.turn(variants[index], sink)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", variants[index].name, err)
			}
			found[variants[index].name] = append(found[variants[index].name], *took)
		}
	}
	return found, nil
}
