package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"strconv"
	"time"
)

// agentPart: a program makes spans at an even rate; the agent's CPU clock is read before and after. Between two rates lie
// only spans, not waking up: the slope is what a span costs, what is left at rate 0 is what idling costs.
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
	none := []string{"OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none"}
	for _, each := range []struct {
		name        string
		environment []string
		limit       *goal
	}{{"exporting nowhere", none, atMost(ofValue, 0.2)}, {"exporting OTLP/HTTP", sink.environment(), nil}} {
		runs, err := b.agentRuns(binary, each.environment)
		if err != nil {
			return nil, err
		}
		raw[each.name] = runs
		result.Rows = append(result.Rows, agentRows(runs, each.name, each.limit)...)
	}
	return result, nil
}

const slow, quickly = 20_000, 100_000 // spans a second

// agentRun is one program's life under an agent.
type agentRun struct {
	Rate    int     `json:"rate"`
	Made    float64 `json:"made"`
	Dropped float64 `json:"dropped"`
	CPU     float64 `json:"cpu_ns"`
	Seconds float64 `json:"seconds"`
}

// agentRuns does every rate twice a round, in random order.
func (b *bench) agentRuns(binary string, environment []string) ([]agentRun, error) {
	rates := []int{0, 0, slow, slow, quickly, quickly}
	var runs []agentRun
	for round := pick(b, 3, 1); round > 0; round-- {
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
	started, before := time.Now(), processCPU(pid)
	line, err := program.next(time.Minute)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, program.errors)
	}
	run := &agentRun{Rate: rate, CPU: float64(processCPU(pid) - before), Seconds: time.Since(started).Seconds()}
	return run, json.Unmarshal([]byte(line), run)
}

func agentRows(runs []agentRun, name string, limit *goal) []row {
	of := func(rate int, figure func(agentRun) float64) (values []float64) {
		for _, run := range runs {
			if run.Rate == rate {
				values = append(values, figure(run))
			}
		}
		return values
	}
	cpu := func(r agentRun) float64 { return r.CPU / r.Seconds }
	made := func(r agentRun) float64 { return (r.Made - r.Dropped) / r.Seconds }
	idle, low, high := of(0, cpu), of(slow, cpu), of(quickly, cpu)
	spans := median(of(quickly, made)) - median(of(slow, made))
	each := func(high, low []float64) float64 { return (median(high) - median(low)) / spans / 1000 }
	halves := func(values []float64) (even, odd []float64) {
		for index, value := range values {
			if index%2 == 0 {
				even = append(even, value)
			} else {
				odd = append(odd, value)
			}
		}
		return even, odd
	}
	evenLow, oddLow := halves(low)
	evenHigh, oddHigh := halves(high)
	evenIdle, oddIdle := halves(idle)
	span := row{What: "each span, " + name, Unit: "µs", Value: each(high, low), Goal: limit,
		Control: pointer(each(oddHigh, oddLow) - each(evenHigh, evenLow))}
	dropped := median(of(quickly, func(r agentRun) float64 { return r.Dropped / r.Made }))
	if dropped > 0 {
		span.Note = fmt.Sprintf("%.2g of the spans were lost at %d a second.", dropped, quickly)
	}
	idling := row{What: "idle, of a core, " + name, Unit: "%", Value: median(idle) / 1e7, Noise: interval(idle) / 1e7,
		Control: pointer((median(oddIdle) - median(evenIdle)) / 1e7)}
	if limit != nil {
		idling.Goal = atMost(ofValue, 1)
	}
	busy := row{What: fmt.Sprintf("at %d spans a second, of a core, %s", slow, name), Unit: "%", Value: median(low) / 1e7,
		Noise: interval(low) / 1e7}
	return []row{span, idling, busy}
}
