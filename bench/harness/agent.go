package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
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
	runs, err := b.agentRuns(binary, sink.environment())
	if err != nil {
		return nil, err
	}
	return &outcome{Raw: runs, Rows: agentRows(runs)}, nil
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
	lasting := pick(b, "2s", "400ms")
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

// agentRows are what a span costs, in the threads that do different things with it and in all, and what the agent uses of
// a core.
func agentRows(runs []agentRun) []row {
	of := func(rate int, figure func(agentRun) float64) (values []float64) {
		for _, run := range runs {
			if run.Rate == rate {
				values = append(values, figure(run))
			}
		}
		return values
	}
	// From one rate to another only spans are added, and the wakings that they cause.
	slope := func(what string, from, to int, cpu func(agentRun) float64, limit *goal) row {
		low, high := of(from, cpu), of(to, cpu)
		taken := func(r agentRun) float64 { return r.Made - r.Dropped }
		each := 1 / (median(of(to, taken)) - median(of(from, taken))) / 1000
		evenLow, oddLow := halves(low)
		evenHigh, oddHigh := halves(high)
		return row{What: what, Unit: "µs", Value: (median(high) - median(low)) * each, Goal: limit,
			Noise:   (interval(high) + interval(low)) * each,
			Control: pointer((median(oddHigh) - median(oddLow) - median(evenHigh) + median(evenLow)) * each)}
	}
	thread := func(name string) func(agentRun) float64 {
		return func(r agentRun) float64 { return r.Threads[name] }
	}
	share := func(what string, rate int, limit *goal) row {
		values := of(rate, func(r agentRun) float64 { return r.Meanwhile / r.Seconds / 1e7 })
		even, odd := halves(values)
		return row{What: what, Unit: "% of a core", Value: median(values), Noise: interval(values),
			Control: pointer(median(odd) - median(even)), Goal: limit}
	}
	rows := []row{
		slope("each span, ring to OTLP bytes", slow, quickly, thread("tandem-agent"), atMost(ofValue, 0.2)),
		slope("each span, sent by OTLP/HTTP", slow, quickly, thread("tandem-otlp"), nil),
		slope(fmt.Sprintf("each span, all, with the store, at %d a second", slow), 0, slow, func(r agentRun) float64 { return r.CPU }, nil),
		share("idle", 0, atMost(ofValue, 1)),
		share(fmt.Sprintf("at %d spans a second", slow), slow, nil),
	}
	for _, run := range runs {
		if at := strings.Index(run.Said, "warning: "); at >= 0 {
			rows[0].Note = fmt.Sprintf("at %d spans a second the agent said: %s", run.Rate, strings.Join(strings.Fields(run.Said[at:]), " "))
		}
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
