package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// librariesPart: a call of each library, with memory at its other end: woven in one program that switches its modes, by hand
// in another that also makes it plain. The two run in turns; only differences within one are compared with each other.
func librariesPart(b *bench) (*outcome, error) {
	return b.callsOfLibraries(0, "-limit", pick(b, "12s", "1s"))
}

// packsPart: the same for packs that have a file in programs/libraries.
func packsPart(b *bench) (*outcome, error) {
	const mostAdded = 500 // by a span of a call, in nanoseconds
	return b.callsOfLibraries(mostAdded, "-packs", "-limit", pick(b, "40s", "1s"))
}

// callsOfLibraries measures what the program's arguments ask for, and then the same with log records. If there is a goal for
// what a span may add, each call has it.
func (b *bench) callsOfLibraries(mostAdded float64, arguments ...string) (*outcome, error) {
	sink, err := b.startSink()
	if err != nil {
		return nil, err
	}
	defer sink.stop()
	raw := map[string]any{}
	result := &outcome{Raw: raw}
	for _, each := range []struct {
		name      string
		logs      string // OTEL_LOGS_EXPORTER
		arguments []string
	}{
		{"calls", "none", arguments},
		{"log records", "otlp", append([]string{"-records"}, arguments...)},
	} {
		found, err := b.measureLibraries(sink, each.logs, each.arguments...)
		if err != nil {
			return nil, err
		}
		raw[each.name] = found
		for _, call := range found.calls() {
			rows := found.rows(call)
			if mostAdded > 0 {
				rows[0].Goal = atMost(ofDifference, mostAdded*max(found.Woven.Counts[call+" spans"], 1))
			}
			result.Rows = append(result.Rows, rows...)
		}
		result.Rows = append(result.Rows, found.Woven.delivered(each.name+", woven"), found.ByHand.delivered(each.name+", by hand"))
	}
	return result, nil
}

// libraries are the figures of both programs.
type libraries struct {
	Woven  *figures `json:"woven"`
	ByHand *figures `json:"by_hand"`
}

// calls are the names of what was measured.
func (l *libraries) calls() (names []string) {
	for name := range l.Woven.Rounds {
		if call, isTraced := strings.CutSuffix(name, ", traced"); isTraced {
			names = append(names, call)
		}
	}
	slices.Sort(names)
	return names
}

// measureLibraries runs the two programs in turns.
func (b *bench) measureLibraries(sink *sink, logs string, arguments ...string) (*libraries, error) {
	woven, err := b.build("libraries", true)
	if err != nil {
		return nil, err
	}
	byHand, err := b.build("libraries", false)
	if err != nil {
		return nil, err
	}
	arguments = append([]string{"-rounds", pick(b, "25", "5")}, arguments...)
	environment := append(sink.environment(), "OTEL_LOGS_EXPORTER="+logs, "TANDEM_ENABLE=cobra.command", // off by default
		"TANDEM_CONFIG="+filepath.Join(b.folder, "programs", "libraries", "agent.yaml"))
	found := &libraries{Woven: &figures{}, ByHand: &figures{}}
	for turn := 0; turn < pick(b, 4, 1); turn++ {
		for _, each := range []struct {
			into    *figures
			command []string
		}{
			{found.Woven, b.agentRun(false, append([]string{woven}, arguments...)...)},
			{found.ByHand, pinned(serverCore, append([]string{byHand}, arguments...)...)},
		} {
			before := sink.spans() + sink.logRecords()
			more, err := b.measure(each.command, environment...)
			if err != nil {
				return nil, err
			}
			more.Counts["arrived"] = float64(sink.spans() + sink.logRecords() - before)
			each.into.join(more)
		}
	}
	return found, nil
}

// join adds the figures of another run of the program: its rounds to the rounds; of what each call costs the least counts,
// and what was recorded and lost is added up.
func (f *figures) join(more *figures) {
	if f.Rounds == nil {
		*f = *more
		return
	}
	for name, values := range more.Rounds {
		f.Rounds[name] = append(f.Rounds[name], values...)
	}
	for name, value := range more.Counts {
		switch name {
		case "spans", "log records", "dropped", "arrived":
			f.Counts[name] += value
		default:
			f.Counts[name] = min(f.Counts[name], value)
		}
	}
}

// delivered says how much of what was recorded arrived at the sink.
func (f *figures) delivered(what string) row {
	made := row{What: "arrived of what was recorded, " + what, Value: f.Counts["arrived"] / (f.Counts["spans"] + f.Counts["log records"]), Goal: atLeast(ofValue, 0.9999)}
	if lost := f.Counts["dropped"]; lost > 0 {
		made.Note = fmt.Sprintf("%.0f records found the ring full.", lost)
	}
	return made
}

// fewerTimes is how many times less a woven call must add than one by hand.
const fewerTimes = 20

func (l *libraries) rows(call string) []row {
	traced, dormant, byHand, plain := call+", traced", call+", dormant", call+", by hand", call+", plain"
	what := call + ": CPU, traced, agent"
	if spans := l.Woven.Counts[call+" spans"]; spans > 1 {
		what += fmt.Sprintf(", %.0f spans", spans)
	}
	cpu := l.Woven.added(what, traced, dormant, nil)
	allocations := l.counted(call, "allocations", "traced", atMost(ofDifference, 0.02))
	rows := []row{cpu, allocations, l.counted(call, "bytes", "traced", nil)}
	if len(l.ByHand.Rounds[byHand]) > 0 {
		rows = []row{
			cpu,
			l.ByHand.added(call+": CPU, by hand", byHand, plain, nil),
			l.ByHand.added(call+": CPU, by hand, before it is processed", byHand+" unsent", plain, nil),
			l.addedTimes(call),
			allocations,
			l.counted(call, "allocations", "by hand", nil),
			l.counted(call, "bytes", "traced", nil),
			l.counted(call, "bytes", "by hand", nil),
		}
	}
	if unsampled := call + ", unsampled"; len(l.Woven.Rounds[unsampled]) > 0 {
		rows = append(rows, l.Woven.added(call+": CPU, not sampled", unsampled, dormant, nil),
			l.counted(call, "allocations", "unsampled", atMost(ofDifference, 0.02)))
	}
	if call == "slog" {
		rows[3].Goal = nil // no contrib library does this
	}
	if l.ByHand.Counts[plain+" line"] > 0 {
		longer := atLeast(ofDifference, 60) // two ids, their names and what JSON has between
		rows = append(rows, l.counted(call, "line", "traced", longer))
		if l.ByHand.Counts[byHand+" line"] > 0 {
			rows = append(rows, l.counted(call, "line", "by hand", longer))
		}
	}
	return rows
}

// addedTimes is how many times what a woven call adds is added by hand.
func (l *libraries) addedTimes(call string) row {
	of := func(f *figures, name, base string, pick func(series) []float64, chosen []int) float64 {
		with, without := pick(f.of(call+name)), pick(f.of(call+base))
		if chosen != nil {
			with, without = picked(with, chosen), picked(without, chosen)
		}
		return fast(with) - fast(without)
	}
	ratio := func(pick func(series) []float64, chosen []int) float64 {
		return of(l.ByHand, ", by hand", ", plain", pick, chosen) / of(l.Woven, ", traced", ", dormant", pick, chosen)
	}
	first := func(s series) []float64 { return s.first }
	second := func(s series) []float64 { return s.second }
	all := series.all
	rounds := min(len(l.Woven.of(call+", traced").first), len(l.ByHand.of(call+", plain").first))
	return row{What: call + ": CPU added by hand (base: woven)", Unit: "ns",
		Base: pointer(of(l.Woven, ", traced", ", dormant", all, nil)), Value: of(l.ByHand, ", by hand", ", plain", all, nil),
		Control: pointer(ratio(second, nil) - ratio(first, nil)), Goal: atLeast(ofRatio, fewerTimes),
		Noise: noise(rounds, func(chosen []int) float64 { return ratio(first, chosen) })}
}

// counted compares what noise does not touch with the plain program.
func (l *libraries) counted(call, unit, kind string, limit *goal) row {
	of := func(kind string) float64 {
		return l.ByHand.Counts[call+", "+kind+" "+unit] + l.Woven.Counts[call+", "+kind+" "+unit]
	} // one has it
	what := fmt.Sprintf("%s: %s, %s", call, unit, kind)
	return row{What: what, Base: pointer(of("plain")), Value: of(kind), Goal: limit}
}
