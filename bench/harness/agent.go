package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"strconv"
	"time"
)

// agentPart: a program makes spans at an even rate; the agent's CPU clocks are read before and after. The slope between two
// rates is what a span costs, what is left at rate 0 is what idling costs. One thread takes the records and makes OTLP
// bytes of them; storing and sending are done by others, and counted apart.
func agentPart(b *bench) (*outcome, error) {
	binary, err := b.build("load", true)
	if err != nil {
		return nil, err
	}
	sink, err := b.startSink()
	if err != nil {
		return nil, err
	}
	defer sink.stop()
	raw := map[string]any{}
	result := &outcome{Raw: raw}
	for _, each := range []struct {
		name        string
		environment []string
	}{{"the store", []string{"OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none"}}, {"the store and OTLP/HTTP", sink.environment()}} {
		runs, err := b.agentRuns(binary, each.environment)
		if err != nil {
			return nil, err
		}
		raw[each.name] = runs
		if each.name == "the store" {
			result.Rows = append(result.Rows, agentRows(runs, "ring to OTLP bytes", loopCPU, atMost(ofValue, 0.2), nil)...)
		}
		result.Rows = append(result.Rows, agentRows(runs, "all, with "+each.name, allCPU, nil, atMost(ofValue, 1))...)
	}
	return result, nil
}

const slow, quickly = 20_000, 100_000 // spans a second

// agentRun is one program's life under an agent.
type agentRun struct {
	Rate    int     `json:"rate"`
	Made    float64 `json:"made"`
	Dropped float64 `json:"dropped"`
	Program float64 `json:"program_cpu_ns"`
	CPU     float64 `json:"cpu_ns"` // of the agent's whole life, until all is delivered
	Said    string  `json:"said"`   // on standard error
	// While the program made spans:
	Seconds   float64            `json:"seconds"`
	Meanwhile float64            `json:"meanwhile_cpu_ns"`
	Threads   map[string]float64 `json:"threads_ns"` // by the threads' names
}

// agentRuns does every rate twice a round, in random order.
func (b *bench) agentRuns(binary string, environment []string) ([]agentRun, error) {
	rates := []int{0, 0, slow, slow, quickly, quickly}
	var runs []agentRun
	for round := pick(b, 2, 1); round > 0; round-- {
		for _, index := range rand.Perm(len(rates)) {
			run, err := b.agentAt(binary, rates[index], environment)
			if err != nil {
				return nil, err
			}
			runs = append(runs, *run)
		}
	}
	return runs, nil
}

func (b *bench) agentAt(binary string, rate int, environment []string) (*agentRun, error) {
	lasting := pick(b, "2500ms", "400ms")
	program, err := b.start(b.agentRun(false, binary, "-rate", strconv.Itoa(rate), "-lasting", lasting), environment...)
	if err != nil {
		return nil, err
	}
	defer program.stop()
	pid := program.process.Process.Pid
	started, before, threadsBefore := time.Now(), processCPU(pid), threadsCPU(pid)
	line, err := program.next(time.Minute)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, program.errors)
	}
	run := &agentRun{Rate: rate, Meanwhile: float64(processCPU(pid) - before), Seconds: time.Since(started).Seconds(), Threads: threadsCPU(pid)}
	for name, spent := range threadsBefore {
		run.Threads[name] -= spent
	}
	if err := json.Unmarshal([]byte(line), run); err != nil {
		return nil, err
	}
	if err := program.finish(); err != nil {
		return nil, err
	}
	used := program.process.ProcessState // of the agent and of the program that it started
	run.CPU = float64(used.UserTime()+used.SystemTime()) - run.Program
	run.Said = program.errors.String()
	return run, nil
}

// loopThread is the thread that takes the records.
const loopThread = "tandem-agent"

func loopCPU(r agentRun) float64 { return r.Threads[loopThread] }
func allCPU(r agentRun) float64  { return r.CPU }

// agentRows are what a span costs and, with a goal for idling, what the agent uses of a core.
func agentRows(runs []agentRun, name string, cpu func(agentRun) float64, each, idle *goal) []row {
	of := func(rate int, figure func(agentRun) float64) (values []float64) {
		for _, run := range runs {
			if run.Rate == rate {
				values = append(values, figure(run))
			}
		}
		return values
	}
	made := func(r agentRun) float64 { return r.Made - r.Dropped }
	share := func(r agentRun) float64 { return r.Meanwhile / r.Seconds / 1e7 }
	low, high := of(slow, cpu), of(quickly, cpu)
	spans := median(of(quickly, made)) - median(of(slow, made))
	slope := func(high, low []float64) float64 { return (median(high) - median(low)) / spans / 1000 }
	evenLow, oddLow := halves(low)
	evenHigh, oddHigh := halves(high)
	idling, working := of(0, share), of(slow, share)
	evenIdling, oddIdling := halves(idling)
	span := row{What: "each span, " + name, Unit: "µs", Value: slope(high, low), Goal: each,
		Noise: (interval(high) + interval(low)) / spans / 1000, Control: pointer(slope(oddHigh, oddLow) - slope(evenHigh, evenLow))}
	dropped := median(of(quickly, func(r agentRun) float64 { return r.Dropped / r.Made }))
	if dropped > 0 {
		span.Note = fmt.Sprintf("%.2g of the spans were lost at %d a second.", dropped, quickly)
	}
	rows := []row{span}
	if idle != nil {
		rows = append(rows, row{What: "idle, of a core, " + name, Unit: "%", Value: median(idling), Noise: interval(idling),
			Control: pointer(median(oddIdling) - median(evenIdling)), Goal: idle})
		rows = append(rows, row{What: fmt.Sprintf("at %d spans a second, of a core, %s", slow, name), Unit: "%", Value: median(working),
			Noise: interval(working)})
	}
	return rows
}

// halves are every other value, and the rest.
func halves(values []float64) (even, odd []float64) {
	for index, value := range values {
		if index%2 == 0 {
			even = append(even, value)
		} else {
			odd = append(odd, value)
		}
	}
	return even, odd
}
