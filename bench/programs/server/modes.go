package main

import (
	"log"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"example.com/bench/programs/control"
	"example.com/bench/programs/paired"
	"example.com/bench/programs/serve"
)

// modes counts requests, and each batch of them puts the program into another mode.
type modes struct {
	memory  *control.Memory
	figures *paired.Figures
	plan    *paired.Plan
	batch   int64
	served  atomic.Int64
	started int64 // CPU time at the start of the batch
}

func newModes(rounds, batch int, limit time.Duration) (*modes, error) {
	memory, err := control.Open()
	if err != nil {
		return nil, err
	}
	m := &modes{memory: memory, figures: paired.New("ns"), batch: int64(batch)}
	m.plan = paired.NewPlan(len(m.list()), rounds, limit)
	m.enter()
	return m, nil
}

type mode struct {
	name  string
	enter func()
}

// list has every mode twice: the second is the first's control.
func (m *modes) list() []mode {
	return []mode{
		{"dormant", m.memory.Dormant}, {"dormant'", m.memory.Dormant},
		{"unsampled", m.memory.Unsampled}, {"unsampled'", m.memory.Unsampled},
		{"traced", m.memory.Traced}, {"traced'", m.memory.Traced},
	}
}

func (m *modes) hello(w http.ResponseWriter, r *http.Request) {
	serve.Hello(w, r)
	if m.served.Add(1)%m.batch == 0 {
		m.next()
	}
}

// next is called by one request in a batch, so by one goroutine at a time.
func (m *modes) next() {
	if used := paired.CPU() - m.started; m.plan.Warm() {
		name := m.list()[m.plan.Now()].name
		m.figures.Rounds[name] = append(m.figures.Rounds[name], float64(used)/float64(m.batch))
	}
	m.plan.Next()
	if m.plan.Over() {
		m.figures.Counts["dropped"] = float64(m.memory.Dropped())
		if control.HasKernelHalf() {
			m.figures.Counts["kernel half"] = 1
		}
		if err := m.figures.Write(os.Stdout); err != nil {
			log.Fatal(err)
		}
		os.Exit(0)
	}
	m.enter()
}

func (m *modes) enter() {
	m.list()[m.plan.Now()].enter()
	m.started = paired.CPU()
}
