package main

import (
	"fmt"
	"math/rand"
	"os/exec"
	"strconv"
	"time"
)

// socketsPart: a saturated hello server over real sockets. What differs by microseconds is measured in turns, each variant
// a fresh process each time; what differs by less within one process that switches its modes.
func socketsPart(b *bench) (*outcome, error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return nil, errSkipped{"no wrk command; install the package wrk"}
	}
	sink, err := b.startSink()
	if err != nil {
		return nil, err
	}
	defer sink.stop()
	raw := map[string]any{}
	result := &outcome{Raw: raw}
	turns, err := b.turns(sink)
	if err != nil {
		return nil, err
	}
	raw["turns"] = turns
	for _, kernel := range []bool{false, true} {
		found, err := b.switched(kernel, sink)
		if err != nil {
			return nil, err
		}
		if kernel && found.Counts["kernel half"] == 0 {
			continue
		}
		with := "agent"
		if kernel {
			with = "agent and kernel half"
		}
		raw["switched, "+with] = found
		found.scale(0.001)
		found.Unit = "µs"
		traced := found.added("CPU, traced, "+with+" (modes switched)", "traced", "dormant", atMost(ofDifference, 0.5))
		if lost := found.Counts["dropped"]; lost > 0 {
			traced.Note = fmt.Sprintf("%.0f records found the ring full.", lost)
		}
		result.Rows = append(result.Rows, traced, found.added("CPU, not sampled, "+with+" (modes switched)", "unsampled", "dormant", nil))
	}
	result.Rows = append(result.Rows, turnRows(turns)...)
	if all := turns[kernelVariant]; len(all) > 0 && all[0].KernelHalf {
		rows, err := b.probeRows(sink)
		if err != nil {
			return nil, err
		}
		result.Rows = append(result.Rows, rows...)
	}
	return result, nil
}

// variant is a way to run the hello server.
type variant struct {
	name        string
	command     func() []string
	environment []string
	exports     bool // its spans must arrive at the sink
}

func (b *bench) variants(sink *sink) ([]variant, error) {
	binaries := map[string]string{}
	for _, each := range []struct {
		name    string
		program string
		woven   bool
	}{{"plain", "server", false}, {"woven", "server", true}, {"byhand", "byhand", false}} {
		binary, err := b.build(each.program, each.woven)
		if err != nil {
			return nil, err
		}
		binaries[each.name] = binary
	}
	direct := func(name string) func() []string {
		return func() []string { return pinned(serverCore, binaries[name]) }
	}
	agent := func(kernel bool) func() []string {
		return func() []string { return b.agentRun(kernel, binaries["woven"]) }
	}
	export := sink.environment()
	return []variant{
		{name: "plain", command: direct("plain")},
		{name: "plain'", command: direct("plain")},
		{name: "woven, no agent", command: direct("woven"), environment: []string{b.noAgent()}},
		{name: "woven, agent", command: agent(false), environment: export, exports: true},
		{name: kernelVariant, command: agent(true), environment: export, exports: true},
		{name: "by hand", command: direct("byhand"), environment: export, exports: true},
	}, nil
}

const kernelVariant = "woven, agent and kernel half"

// turn is what one variant did in one turn, each request.
type turn struct {
	Requests    float64 `json:"requests"`
	CPU         float64 `json:"cpu_us"`
	AgentCPU    float64 `json:"agent_cpu_us"`
	Rate        float64 `json:"rate"`
	P50         float64 `json:"p50_us"`
	P99         float64 `json:"p99_us"`
	Allocations float64 `json:"allocations"`
	Bytes       float64 `json:"bytes"`
	Exported    float64 `json:"exported"` // spans that arrived, over the whole life
	KernelHalf  bool    `json:"kernel_half"`
}

// turns runs the variants one after another, in a new order each round.
func (b *bench) turns(sink *sink) (map[string][]turn, error) {
	variants, err := b.variants(sink)
	if err != nil {
		return nil, err
	}
	found := map[string][]turn{}
	until := time.Now().Add(150 * time.Second)
	for round := pick(b, 5, 1); round > 0 && (time.Now().Before(until) || len(found["plain"]) < 3); round-- {
		for _, index := range rand.Perm(len(variants)) {
			each := variants[index]
			took, err := b.turn(each, sink)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", each.name, err)
			}
			found[each.name] = append(found[each.name], *took)
		}
	}
	return found, nil
}

func (b *bench) turn(v variant, sink *sink) (*turn, error) {
	sent := sink.spans()
	server, err := b.start(v.command(), v.environment...)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	url := "http://" + server.line
	if _, err := b.load(url, "1s"); err != nil { // warm
		return nil, err
	}
	before, err := serverState(url)
	if err != nil {
		return nil, err
	}
	agentBefore := processCPU(server.process.Process.Pid)
	load, err := b.load(url, pick(b, "2s", "1s"))
	if err != nil {
		return nil, err
	}
	after, err := serverState(url)
	if err != nil {
		return nil, err
	}
	each := 1 / load.Requests
	took := &turn{Requests: load.Requests, Rate: load.Requests / load.Seconds, P50: load.P50, P99: load.P99,
		CPU:         float64(after.CPU-before.CPU) / 1000 * each,
		Allocations: float64(after.Allocations-before.Allocations) * each,
		Bytes:       float64(after.Bytes-before.Bytes) * each,
		KernelHalf:  after.KernelHalf}
	if server.process.Process.Pid != after.Process { // the server's parent is the agent
		took.AgentCPU = float64(processCPU(server.process.Process.Pid)-agentBefore) / 1000 * each
	}
	server.stop()
	if v.exports {
		took.Exported = float64(sink.spans()-sent) / float64(after.Requests)
	}
	return took, nil
}

// turnRows compare each variant with the plain server, turn by turn.
func turnRows(turns map[string][]turn) []row {
	of := func(name string, figure func(turn) float64) []float64 {
		var values []float64
		for _, each := range turns[name] {
			values = append(values, figure(each))
		}
		return values
	}
	compare := func(what, unit, name string, figure func(turn) float64, limit *goal) row {
		base, twin, values := of("plain", figure), of("plain'", figure), of(name, figure)
		pairs, controls := make([]float64, len(values)), make([]float64, len(values))
		for index := range values {
			pairs[index] = values[index] - (base[index]+twin[index])/2
			controls[index] = twin[index] - base[index]
		}
		return row{What: what + ", " + name, Unit: unit, Base: pointer(median(append(base, twin...))), Value: median(values),
			Noise: interval(pairs), Control: pointer(median(controls)), Median: pointer(median(pairs)), Goal: limit}
	}
	names := []string{"woven, no agent", "woven, agent", kernelVariant, "by hand"}
	if all := turns[names[2]]; len(all) > 0 && !all[0].KernelHalf {
		names = append(names[:2], names[3])
	}
	cpu := func(t turn) float64 { return t.CPU }
	var rows []row
	for _, name := range names {
		rows = append(rows, compare("CPU", "µs", name, cpu, nil))
	}
	rate := func(t turn) float64 { return t.Rate / 1000 }
	for _, name := range names {
		rows = append(rows, compare("throughput", "1000/s", name, rate, nil))
	}
	for _, name := range names {
		rows = append(rows, compare("p50", "µs", name, func(t turn) float64 { return t.P50 }, nil),
			compare("p99", "µs", name, func(t turn) float64 { return t.P99 }, nil))
	}
	for _, name := range names {
		allocations := compare("allocations", "", name, func(t turn) float64 { return t.Allocations }, nil)
		bytes := compare("bytes", "", name, func(t turn) float64 { return t.Bytes }, nil)
		if name != "by hand" {
			allocations.Goal, bytes.Goal = atMost(ofDifference, 0.02), atMost(ofDifference, 8)
		}
		rows = append(rows, allocations, bytes)
	}
	for _, name := range names[1:] {
		if name != "by hand" {
			agent := of(name, func(t turn) float64 { return t.AgentCPU })
			rows = append(rows, row{What: "CPU of the agent, " + name, Unit: "µs", Value: median(agent), Noise: interval(agent)})
		}
		exported := of(name, func(t turn) float64 { return t.Exported })
		rows = append(rows, row{What: "spans exported a request, " + name, Value: median(exported), Noise: interval(exported),
			Goal: atLeast(ofValue, 0.9999)})
	}
	return rows
}

// switched runs the woven server under load while it switches its own modes.
func (b *bench) switched(kernel bool, sink *sink) (*figures, error) {
	binary, err := b.build("server", true)
	if err != nil {
		return nil, err
	}
	rounds := pick(b, 350, 3)
	server, err := b.start(b.agentRun(kernel, binary, "-rounds", strconv.Itoa(rounds), "-limit", "32s"), sink.environment()...)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	load, err := b.startLoad("http://"+server.line, "300s")
	if err != nil {
		return nil, err
	}
	defer load.stop()
	return server.figures(b.ctx)
}
