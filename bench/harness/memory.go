package main

import (
	"fmt"
	"strconv"
)

// memoryPart: hello over a connection in memory, every mode in one process: with the agent at work, with it stopped, and
// again with the kernel half; with warm caches and with swept ones.
func memoryPart(b *bench) (*outcome, error) {
	binary, err := b.build("memory", true)
	if err != nil {
		return nil, err
	}
	raw := map[string]any{}
	result := &outcome{Raw: raw}
	missing := ""
	for _, sweep := range []int{0, 64, 768} {
		found, err := b.measureMemory(binary, false, sweep)
		if err != nil {
			return nil, err
		}
		raw[fmt.Sprintf("agent, %d KiB", sweep)] = found
		result.Rows = append(result.Rows, memoryRows(found, sweep, "")...)
		if missing != "" {
			continue
		}
		if found, err = b.measureMemory(binary, true, sweep); err != nil {
			return nil, err
		}
		if missing = noKernelHalf(found); missing != "" {
			continue
		}
		raw[fmt.Sprintf("agent and kernel half, %d KiB", sweep)] = found
		result.Rows = append(result.Rows, memoryRows(found, sweep, " and kernel half")...)
	}
	layouts, err := b.compareLayouts("memory", "plain", "-rounds", pick(b, "250", "4"), "-limit", "5s")
	if err != nil {
		return nil, err
	}
	raw["layouts"] = layouts
	dormant := layouts.row("dormant against plain", "ns", nil)
	dormant.Goal = atMost(ofDifference, max(dormant.Noise, *dormant.Control, -*dormant.Control))
	dormant.Note = "the goal is what the layouts of one binary differ by."
	if missing != "" {
		dormant.Note += " The kernel half was not measured: " + missing
	}
	result.Rows = append(result.Rows, dormant)
	return result, nil
}

// noKernelHalf says why a program that should have had the kernel half had none.
func noKernelHalf(found *figures) string {
	if found.Counts["kernel half"] == 0 {
		return "the agent has none here; `tandem doctor` says why."
	}
	return ""
}

func (b *bench) measureMemory(binary string, kernel bool, sweep int) (*figures, error) {
	modes, rounds, batch := "dormant,unsampled,traced", pick(b, 400, 5), 600
	if sweep == 0 && !kernel {
		modes, rounds = modes+",alone", pick(b, 200, 5)
	}
	if sweep > 100 {
		batch = 300
	}
	program := []string{binary, "-modes", modes, "-sweep", strconv.Itoa(sweep), "-rounds", strconv.Itoa(rounds), "-limit", pick(b, "14s", "2s"), "-batch", strconv.Itoa(batch)}
	return b.measure(b.agentRun(kernel, program...), "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none")
}

// memoryRows are the rows of one run; with says what besides the agent took part.
func memoryRows(found *figures, sweep int, with string) []row {
	limit, caches := atMost(ofDifference, 250), "warm"
	if sweep > 0 {
		limit, caches = atMost(ofDifference, 350), fmt.Sprintf("%d KiB swept", sweep)
	}
	name := func(what string) string { return what + with + ", " + caches }
	traced := found.added(name("traced, agent"), "traced", "dormant", limit)
	if lost := found.Counts["traced dropped"]; lost > 0 {
		traced.Note = fmt.Sprintf("%.0f records found the ring full.", lost)
	}
	rows := []row{traced, found.added(name("not sampled"), "unsampled", "dormant", nil)}
	if sweep > 0 {
		return rows
	}
	if len(found.Rounds["alone"]) > 0 {
		rows = append(rows, found.added(name("traced, no agent (ring full)"), "alone", "dormant", limit))
	}
	for _, mode := range []string{"traced", "unsampled"} {
		rows = append(rows, found.counted(name(mode)+": allocations", mode, "allocations", 0.02), found.counted(name(mode)+": bytes", mode, "bytes", 8))
	}
	return rows
}

// counted compares what a mode allocates with what the dormant program does. Others allocate a little too, from time to
// time: less than tolerance is 0.
func (f *figures) counted(what, mode, unit string, tolerance float64) row {
	limit := atMost(ofDifference, tolerance)
	base, twin := f.Counts["dormant "+unit], f.Counts["dormant' "+unit]
	return row{What: what, Base: pointer(min(base, twin)), Value: min(f.Counts[mode+" "+unit], f.Counts[mode+"' "+unit]),
		Control: pointer(twin - base), Goal: limit}
}
