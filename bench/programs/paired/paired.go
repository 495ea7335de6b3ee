// Package paired measures cases that differ by nanoseconds: all of them in one process, again and again, in a new random
// order each round, so that whatever the machine does meanwhile hits all of them alike. What it prints are the raw
// figures, round by round; judging them is the harness's work.
package paired

import (
	"encoding/json"
	"io"
	"math/rand"
	"syscall"
	"time"
	"unsafe"
)

// Figures are what a program prints: for each case one figure a round, the rounds aligned.
type Figures struct {
	Unit   string               `json:"unit"`
	Rounds map[string][]float64 `json:"rounds"`
	// Counts are figures that noise does not touch: allocations, bytes, losses.
	Counts map[string]float64 `json:"counts"`
}

// New makes an empty collection.
func New(unit string) *Figures {
	return &Figures{Unit: unit, Rounds: map[string][]float64{}, Counts: map[string]float64{}}
}

// Write prints the figures.
func (f *Figures) Write(to io.Writer) error { return json.NewEncoder(to).Encode(f) }

// Plan is a random order of cases, a new one each round.
type Plan struct {
	order  []int
	at     int
	round  int
	rounds int
	until  time.Time
}

// warm rounds come first and are not kept; fewest is how many are, however long they take.
const (
	warm   = 3
	fewest = 5
)

// NewPlan makes a plan for so many cases and rounds, that ends early when the time is over.
func NewPlan(cases, rounds int, limit time.Duration) *Plan {
	plan := &Plan{order: make([]int, cases), rounds: rounds + warm, until: time.Now().Add(limit)}
	for index := range plan.order {
		plan.order[index] = index
	}
	plan.shuffle()
	return plan
}

// Now is the case whose turn it is.
func (p *Plan) Now() int { return p.order[p.at] }

// Next goes on to the next case.
func (p *Plan) Next() {
	if p.at++; p.at == len(p.order) {
		p.at = 0
		p.round++
		p.shuffle()
	}
}

// Warm says whether this round's figures are to be kept.
func (p *Plan) Warm() bool { return p.round >= warm }

// Over says, at the start of a round, whether the last one was the last.
func (p *Plan) Over() bool {
	return p.at == 0 && (p.round >= p.rounds || p.round >= warm+fewest && time.Now().After(p.until))
}

func (p *Plan) shuffle() {
	rand.Shuffle(len(p.order), func(i, j int) { p.order[i], p.order[j] = p.order[j], p.order[i] })
}

// CPU is the CPU time that the process has used, in nanoseconds.
func CPU() int64 {
	const processClock = 2
	var now syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, processClock, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}
