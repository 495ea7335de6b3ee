package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// script makes wrk print what it saw as JSON on a line of its own.
const script = `done = function(summary, latency, requests)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  io.write(string.format('\n{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"errors":%d}\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50), latency:percentile(99), errors))
end
`

// loadResult is what wrk saw; latencies in microseconds.
type loadResult struct {
	Requests float64 `json:"requests"`
	Seconds  float64 `json:"seconds"`
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	Errors   int     `json:"errors"`
}

func (b *bench) wrk(url, lasting string) (*exec.Cmd, error) {
	if _, err := exec.LookPath("wrk"); err != nil { // taskset, which starts it, would say so to nobody
		return nil, fmt.Errorf("%w: make bench installs it", err)
	}
	path := filepath.Join(b.work, "wrk.lua")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		return nil, err
	}
	command := pinned(otherCore, "wrk", "--threads", "1", "--connections", "32", "--duration", lasting, "--script", path, url+"/hello")
	return exec.CommandContext(b.ctx, command[0], command[1:]...), nil
}

// load saturates a server for some time.
func (b *bench) load(url, lasting string) (*loadResult, error) {
	wrk, err := b.wrk(url, lasting)
	if err != nil {
		return nil, err
	}
	output, err := wrk.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("wrk: %w\n%s", err, output)
	}
	_, line, _ := strings.Cut(string(output), "\n{")
	var result loadResult
	if err := json.Unmarshal([]byte("{"+line), &result); err != nil {
		return nil, fmt.Errorf("wrk: %w\n%s", err, output)
	}
	if result.Errors > 0 || result.Requests == 0 {
		return nil, fmt.Errorf("wrk: %d errors in %.0f requests", result.Errors, result.Requests)
	}
	return &result, nil
}

// loading is a load that lasts until it is stopped.
type loading struct{ process *exec.Cmd }

func (b *bench) startLoad(url, lasting string) (*loading, error) {
	wrk, err := b.wrk(url, lasting)
	if err != nil {
		return nil, err
	}
	return &loading{wrk}, wrk.Start()
}

func (l *loading) stop() {
	l.process.Process.Signal(syscall.SIGTERM)
	l.process.Wait()
}
