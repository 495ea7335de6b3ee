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
	written uint64
	dropped uint64
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
	name    string
	enter   func()
	records bool
}

// list has every mode twice: the second is the first's control.
func (m *modes) list() []mode {
	return []mode{
		{"dormant", m.memory.Dormant, false}, {"dormant'", m.memory.Dormant, false},
		{"unsampled", m.memory.Unsampled, false}, {"unsampled'", m.memory.Unsampled, false},
		{"traced", m.memory.Traced, true}, {"traced'", m.memory.Traced, true},
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
	used := paired.CPU() - m.started
	now := m.list()[m.plan.Now()]
	if m.plan.Warm() {
		m.figures.Rounds[now.name] = append(m.figures.Rounds[now.name], float64(used)/float64(m.batch))
	}
	if err := control.Recorded(m.memory.Written()-m.written, m.memory.Dropped()-m.dropped, int(m.batch), now.records); err != nil {
		log.Fatal(now.name, ": ", err)
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
	m.written, m.dropped = m.memory.Written(), m.memory.Dropped()
	m.started = paired.CPU()
}
