package load

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// Report is what the customers got, exact to the request.
type Report struct {
	Seed       uint64
	Requests   int
	Unexpected int
	Seconds    float64

	mu     sync.Mutex
	counts map[Key][]time.Duration
}

// Key is what requests are counted by. Status 0 means that there was no answer.
type Key struct {
	Route  string `json:"route"` // With the method: "GET /products/:id".
	Status int    `json:"status"`
}

func newReport(seed uint64) *Report {
	return &Report{Seed: seed, counts: map[Key][]time.Duration{}}
}

func (r *Report) add(step step, status int, took time.Duration, expected bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := Key{Route: step.method + " " + step.route, Status: status}
	r.counts[key] = append(r.counts[key], took)
	r.Requests++
	if !expected {
		r.Unexpected++
	}
}

// Counts returns how many requests there were of each kind.
func (r *Report) Counts() map[Key]int {
	counts := make(map[Key]int, len(r.counts))
	for key, durations := range r.counts {
		counts[key] = len(durations)
	}
	return counts
}

// line is one kind of request in the printed report.
type line struct {
	Key
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

func (r *Report) lines() []line {
	lines := make([]line, 0, len(r.counts))
	for _, key := range slices.SortedFunc(maps.Keys(r.counts), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Status, b.Status))
	}) {
		durations := slices.Sorted(slices.Values(r.counts[key]))
		percentile := func(p int) float64 {
			rank := (p*len(durations) + 99) / 100 // The nearest, counted from 1.
			return float64(durations[rank-1].Microseconds()) / 1000
		}
		lines = append(lines, line{key, len(durations), percentile(50), percentile(99), percentile(100)})
	}
	return lines
}

// WriteJSON prints the report as one line of JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	return json.NewEncoder(w).Encode(struct {
		Requests   int     `json:"requests"`
		Unexpected int     `json:"unexpected"`
		Seconds    float64 `json:"seconds"`
		Seed       uint64  `json:"seed"`
		Counts     []line  `json:"counts"`
	}{r.Requests, r.Unexpected, r.Seconds, r.Seed, r.lines()})
}

// WriteText prints the report as a table.
func (r *Report) WriteText(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "count\tstatus\tp50 ms\tp99 ms\tmax ms\t route")
	for _, l := range r.lines() {
		fmt.Fprintf(table, "%d\t%d\t%.2f\t%.2f\t%.2f\t %s\n", l.Count, l.Status, l.P50, l.P99, l.Max, l.Route)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d requests in %.2f s, %d unexpected, seed %d\n",
		r.Requests, r.Seconds, r.Unexpected, r.Seed)
	return err
}
