package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

// The kernel counts the runs of eBPF programs, and their time, when asked to. Asking costs time itself, so this is a run of
// its own.

const statisticsSwitch = "/proc/sys/kernel/bpf_stats_enabled"

// probeRows are what the kernel half's programs cost at each request to a saturated server. They run at every switch of
// the whole machine, so the load generator's and the agent's own switches are in it.
func (b *bench) probeRows(sink *sink) ([]row, error) {
	before, err := os.ReadFile(statisticsSwitch)
	if err != nil {
		return nil, nil // an old kernel
	}
	if err := os.WriteFile(statisticsSwitch, []byte("1"), 0o644); err != nil {
		return nil, nil // not allowed to
	}
	defer os.WriteFile(statisticsSwitch, before, 0o644)
	variants, err := b.variants(sink)
	if err != nil {
		return nil, err
	}
	for _, each := range variants {
		if each.name == kernelVariant {
			return b.probeCost(each)
		}
	}
	return nil, nil
}

func (b *bench) probeCost(v variant) ([]row, error) {
	server, err := b.start(v.command(), v.environment...)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	url := "http://" + server.line
	if _, err := b.load(url, "1s"); err != nil {
		return nil, err
	}
	pid := server.process.Process.Pid
	runsBefore, timeBefore := programRuns(pid)
	load, err := b.load(url, "2s")
	if err != nil {
		return nil, err
	}
	runs, spent := programRuns(pid)
	runs, spent = runs-runsBefore, spent-timeBefore
	if runs == 0 {
		return nil, nil
	}
	return []row{
		{What: "kernel half: each run at a switch", Unit: "ns", Value: spent / runs},
		{What: "kernel half: runs a request, all of the machine", Value: runs / load.Requests},
		{What: "kernel half: CPU a request, all of the machine", Unit: "µs", Value: spent / load.Requests / 1000},
	}, nil
}

// programRuns adds up the eBPF programs that a process has attached: how often they ran, and for how many nanoseconds.
func programRuns(pid int) (runs, spent float64) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	for _, link := range links {
		id := describes(link)["prog_id"]
		if id == 0 {
			continue
		}
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

// describes are the numbers that the kernel tells of an open file.
func describes(path string) map[string]float64 {
	numbers := map[string]float64{}
	text, _ := os.ReadFile(path)
	for _, line := range strings.Split(string(text), "\n") {
		name, value, _ := strings.Cut(line, ":")
		var number float64
		if _, err := fmt.Sscan(value, &number); err == nil {
			numbers[name] = number
		}
	}
	return numbers
}

// openProgram opens an eBPF program by its id. The kernel half exists on amd64 only, and so does this.
func openProgram(id uint32) (int, error) {
	const systemCall, getProgramByID = 321, 13
	attributes := [4]uint32{id}
	file, _, failure := syscall.Syscall(systemCall, getProgramByID, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	if failure != 0 {
		return -1, failure
	}
	return int(file), nil
}

func closeProgram(program int) { syscall.Close(program) }
