package main

import (
	"fmt"
	"log"
	"runtime"

	"example.com/bench/programs/control"
	"example.com/bench/programs/paired"
)

// check is how many requests lie between two looks at whether a mode has settled.
const check = 100

// mode is a state of the program.
type mode struct {
	name    string
	enter   func()
	settled func() bool // nil: at once. Until then requests are served but not measured.
	records bool
}

// measure is told of every answer. A visit to a mode is: enter, serve until it has settled, serve one batch with the clock
// running. After the last round every mode is visited once more for its allocations.
type measure struct {
	modes   []mode
	plan    *paired.Plan
	figures *paired.Figures
	memory  *control.Memory
	done    func()

	served   int // requests of this visit that count
	running  bool
	counting bool // this is the round for allocations, after the last one for times
	started  int64
	before   runtime.MemStats
	dropped  uint64
	written  uint64

	room []byte // what sweep walks through
}

func newMeasure(names []string) (*measure, error) {
	m := &measure{figures: paired.New("ns"), room: make([]byte, *sweep<<10)}
	if err := m.makeModes(names); err != nil {
		return nil, err
	}
	m.plan = paired.NewPlan(len(m.modes), *rounds, *limit)
	m.modes[m.plan.Now()].enter()
	return m, nil
}

// makeModes makes each mode twice: the second is the first's control.
func (m *measure) makeModes(names []string) error {
	if names[0] == "" {
		nothing := func() {}
		m.modes = []mode{{name: "plain", enter: nothing}, {name: "plain'", enter: nothing}}
		return nil
	}
	var err error
	if m.memory, err = control.Open(); err != nil {
		return err
	}
	for _, name := range names {
		made, err := m.makeMode(name)
		if err != nil {
			return err
		}
		m.modes = append(m.modes, made)
		made.name += "'"
		m.modes = append(m.modes, made)
	}
	return nil
}

func (m *measure) makeMode(name string) (mode, error) {
	with := func(set func()) func() { return func() { resume(m.memory); set() } }
	switch name {
	case "dormant":
		return mode{name: name, enter: with(m.memory.Dormant)}, nil
	case "unsampled":
		return mode{name: name, enter: with(m.memory.Unsampled)}, nil
	case "traced":
		return mode{name: name, enter: with(m.memory.Traced), records: true}, nil
	case "alone": // no agent: the rings are full, every record is dropped and counted
		return mode{name: name, enter: func() { suspend(); m.dropped = m.memory.Dropped(); m.memory.Traced() },
			settled: func() bool { return m.memory.Dropped() > m.dropped }, records: true}, nil
	}
	return mode{}, fmt.Errorf("no mode is called %q", name)
}

func (m *measure) answered() {
	m.served++
	if !m.running {
		m.settle()
		return
	}
	if m.served < *batch {
		return
	}
	m.finish()
	m.plan.Next()
	m.running, m.served = false, 0
	if m.plan.Over() {
		m.over()
	}
	m.modes[m.plan.Now()].enter()
}

// over begins the round for allocations after the last one for times, and ends the program after that.
func (m *measure) over() {
	if !m.counting {
		m.counting = true
		m.plan = paired.NewPlan(len(m.modes), 1, 0)
		return
	}
	if control.HasKernelHalf() {
		m.figures.Counts["kernel half"] = 1
	}
	if m.memory != nil {
		resume(m.memory) // a stopped agent would never notice our end
	}
	m.done()
}

// settle starts the clock when the mode has settled.
func (m *measure) settle() {
	now := m.modes[m.plan.Now()]
	if m.served%check != 0 || now.settled != nil && !now.settled() {
		return
	}
	m.running, m.served = true, 0
	if m.memory != nil {
		m.dropped, m.written = m.memory.Dropped(), m.memory.Written()
	}
	if m.counting {
		runtime.ReadMemStats(&m.before)
	}
	m.started = paired.CPU()
}

// finish keeps the visit's figures.
func (m *measure) finish() {
	used := paired.CPU() - m.started
	now := m.modes[m.plan.Now()]
	name := now.name
	if m.memory != nil {
		if err := control.Recorded(m.memory.Written()-m.written, m.memory.Dropped()-m.dropped, *batch, now.records); err != nil {
			resume(m.memory)
			log.Fatal(name, ": ", err)
		}
	}
	switch {
	case m.counting:
		var after runtime.MemStats
		runtime.ReadMemStats(&after)
		m.figures.Counts[name+" allocations"] = float64(after.Mallocs-m.before.Mallocs) / float64(*batch)
		m.figures.Counts[name+" bytes"] = float64(after.TotalAlloc-m.before.TotalAlloc) / float64(*batch)
	case m.plan.Warm():
		m.figures.Rounds[name] = append(m.figures.Rounds[name], float64(used)/float64(*batch))
		if m.memory != nil {
			m.figures.Counts[name+" dropped"] += float64(m.memory.Dropped() - m.dropped)
		}
	}
}

// sweep walks through the room, so that the next request finds little in the caches. Not while a mode settles.
func (m *measure) sweep() {
	if m.running {
		for at := 0; at < len(m.room); at += 64 {
			m.room[at]++
		}
	}
}
