package main

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// fleetPart: spans go the way that deploy/fleet has, an agent, a Collector that samples by tail, Jaeger with Badger on disk, each a
// process of published modules. Each one's CPU time and memory for a span is what docs/capacity.md reckons with. Nothing is compared:
// the three do different things. Once all traces are kept, which tells what the database takes, and once a tenth is.
func fleetPart(b *bench) (*outcome, error) {
	collector, err := b.buildModule("tests/fleet/collector", ".", "fleet-collector")
	if err != nil {
		return nil, err
	}
	jaeger, err := b.buildModule("tests/fleet/jaeger", "github.com/jaegertracing/jaeger/cmd/jaeger", "jaeger")
	if err != nil {
		return nil, err
	}
	raw := map[string][]fleetRun{}
	for round := pick(b, 3, 1); round > 0; round-- {
		for _, kept := range []int{100, 10} {
			got, err := b.fleet(collector, jaeger, kept)
			if err != nil {
				return nil, err
			}
			raw[strconv.Itoa(kept)] = append(raw[strconv.Itoa(kept)], *got)
		}
	}
	return &outcome{Raw: raw, Rows: fleetRows(raw)}, nil
}

// spansPerTrace is a usual size: a request through three services.
const spansPerTrace = 8

// fleetRun is what one life of the three took.
type fleetRun struct {
	Spans float64 `json:"spans"`
	// CPU time in ns, and the largest memory in bytes, of each.
	Agent     used    `json:"agent"`
	Collector used    `json:"collector"`
	Database  used    `json:"database"`
	Disk      float64 `json:"disk_bytes"`
	Again     int64   `json:"told_to_come_again"`
	Seconds   float64 `json:"seconds"`
}

type used struct {
	CPU    float64 `json:"cpu_ns"`
	Memory float64 `json:"memory_bytes"`
}

func fleetRows(raw map[string][]fleetRun) (rows []row) {
	of := func(kept, what, unit string, value func(fleetRun) float64) {
		var values []float64
		for _, run := range raw[kept] {
			values = append(values, value(run))
		}
		rows = append(rows, row{What: what, Unit: unit, Value: median(values), Noise: interval(values)})
	}
	micros := func(used func(fleetRun) used) func(fleetRun) float64 {
		return func(run fleetRun) float64 { return used(run).CPU / run.Spans / 1000 }
	}
	mebibytes := func(used func(fleetRun) used) func(fleetRun) float64 {
		return func(run fleetRun) float64 { return used(run).Memory / (1 << 20) }
	}
	agent := func(run fleetRun) used { return run.Agent }
	collector := func(run fleetRun) used { return run.Collector }
	database := func(run fleetRun) used { return run.Database }
	of("100", "agent: each span, OTLP/HTTP in, gRPC out by trace", "µs", micros(agent))
	of("100", "Collector: each span, sampled by tail, all kept", "µs", micros(collector))
	of("10", "Collector: each span, sampled by tail, a tenth kept", "µs", micros(collector))
	of("100", "Jaeger with Badger: each span that it gets, all kept", "µs", micros(database))
	of("10", "Jaeger with Badger: each span that it gets, a tenth kept", "µs", func(run fleetRun) float64 { return 10 * micros(database)(run) })
	of("100", "Jaeger with Badger: each span on disk, all kept", "B", func(run fleetRun) float64 { return run.Disk / run.Spans })
	of("10", "Jaeger with Badger: each span on disk, a tenth kept", "B", func(run fleetRun) float64 { return 10 * run.Disk / run.Spans })
	of("100", "agent: memory at most", "MiB", mebibytes(agent))
	of("10", "Collector: memory at most", "MiB", mebibytes(collector))
	of("100", "Jaeger: memory at most", "MiB", mebibytes(database))
	return rows
}

// buildModule builds a package of a module of this repository that is built of published modules.
func (b *bench) buildModule(module, pkg, name string) (string, error) {
	binary, err := filepath.Abs(b.raw(filepath.Join("bin", name)))
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(b.ctx, "go", "build", "-o", binary, pkg)
	build.Dir = filepath.Join(b.folder, "..", module)
	if output, err := build.CombinedOutput(); err != nil {
		return "", errSkipped{fmt.Sprintf("%s cannot be built here: %s", module, lastLine(output))}
	}
	return binary, nil
}

// badger is deploy/fleet/jaeger.yaml with its spans on disk.
const badger = `extensions:
  jaeger_storage:
    backends:
      traces:
        badger:
          directories: {keys: %[1]q, values: %[2]q}
          ephemeral: false
  jaeger_query:
    storage: {traces: traces}
    http: {endpoint: %[3]q}
    grpc: {endpoint: %[4]q}
receivers: {otlp: {protocols: {grpc: {endpoint: %[5]q}}}}
processors: {batch: {}}
exporters: {jaeger_storage_exporter: {trace_storage: traces}}
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines: {traces: {receivers: [otlp], processors: [batch], exporters: [jaeger_storage_exporter]}}
  telemetry: {metrics: {level: none}, logs: {level: warn}}
`

func (b *bench) fleet(collector, jaeger string, kept int) (*fleetRun, error) {
	work, err := os.MkdirTemp(b.work, "fleet-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	var addresses [5]string
	for index := range addresses {
		if addresses[index], err = freeAddress(); err != nil {
			return nil, err
		}
	}
	forDatabase, forCollector, forAgent := addresses[2], addresses[3], addresses[4]
	data := filepath.Join(work, "badger")
	keys, values := filepath.Join(data, "keys"), filepath.Join(data, "values")
	configuration := filepath.Join(work, "jaeger.yaml")
	text := fmt.Sprintf(badger, keys, values, addresses[0], addresses[1], forDatabase)
	if err := os.WriteFile(configuration, []byte(text), 0o644); err != nil {
		return nil, err
	}
	database, err := b.receiver(forDatabase, []string{jaeger, "--config", configuration}, nil)
	if err != nil {
		return nil, err
	}
	defer database.stop()
	host, port, err := net.SplitHostPort(forCollector)
	if err != nil {
		return nil, err
	}
	middle, err := b.receiver(forCollector,
		[]string{collector, "--config", filepath.Join(b.folder, "..", "deploy", "fleet", "collector.yaml")},
		[]string{"LISTEN=" + host, "PORT=" + port, "DATABASE=" + forDatabase,
			"DECISION_WAIT=3s", fmt.Sprintf("KEPT_PERCENT=%d", kept)})
	if err != nil {
		return nil, err
	}
	defer middle.stop()
	// The balance is on, as deploy/fleet has it.
	agent, err := b.receiver(forAgent,
		[]string{b.tandem, "agent", "--no-ui", "--no-kernel", "--store", filepath.Join(work, "store"),
			"--config", filepath.Join(b.folder, "..", "deploy", "fleet", "agent.yaml"),
			"--socket", filepath.Join(work, "agent.sock"), "--otlp=" + forAgent},
		[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + forCollector, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
			"OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none"})
	if err != nil {
		return nil, err
	}
	defer agent.stop()
	all := []*receiver{agent, middle, database}
	if _, err := b.send(agent.address, pick(b, 20, 5), spansPerTrace); err != nil {
		return nil, err
	}
	b.settle(all)
	size := sizeOf(data)
	before := make([]float64, len(all))
	for index, r := range all {
		before[index] = r.cpu()
	}
	requests, begun := pick(b, 2000, 50), time.Now()
	again, err := b.send(agent.address, requests, spansPerTrace)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, agent.said)
	}
	b.settle(all)
	run := &fleetRun{Spans: float64(requests * spansPerRequest), Again: again, Seconds: time.Since(begun).Seconds()}
	for index, into := range []*used{&run.Agent, &run.Collector, &run.Database} {
		pid := all[index].process.Process.Pid
		into.CPU, into.Memory = all[index].cpu()-before[index], peakMemory(pid)
	}
	run.Disk = float64(sizeOf(data) - size)
	return run, nil
}

// cpu is the CPU time that it has used, in nanoseconds, without that of an agent's own store: a fleet has its database elsewhere.
func (r *receiver) cpu() float64 {
	pid := r.process.Process.Pid
	return float64(processCPU(pid)) - threadsCPU(pid)["tandem-store"]
}

// settle waits until all of them have had nothing to do for as long as spans may wait in the Collector, and a while more.
func (b *bench) settle(all []*receiver) {
	total := func() (sum int64) {
		for _, r := range all {
			sum += processCPU(r.process.Process.Pid)
		}
		return sum
	}
	const quiet = 6 * time.Second
	for last := total(); b.ctx.Err() == nil; {
		time.Sleep(quiet)
		now := total()
		if now-last < int64(quiet)/20 { // a twentieth of a core: nothing but their own clocks
			return
		}
		last = now
	}
}

// peakMemory is the largest memory that a process has had, in bytes.
func peakMemory(pid int) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(text), "\n") {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kib); err == nil {
			return kib * 1024
		}
	}
	return 0
}

// sizeOf is what the files of a folder take on disk, in bytes.
func sizeOf(folder string) (size int64) {
	filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var status syscall.Stat_t
			if syscall.Stat(path, &status) == nil {
				size += status.Blocks * 512
			}
		}
		return nil
	})
	return size
}
