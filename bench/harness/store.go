package main

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// stored is a line of what crates/store/benches/search.rs says: the first one of going in, the others of questions.
type stored struct {
	Spans         int     `json:"spans,omitempty"`
	PerCoreSecond float64 `json:"per_core_second,omitempty"` // by the CPU time of the store's thread
	PerSecond     float64 `json:"per_second,omitempty"`      // by the clock, beside what makes the spans
	Bytes         float64 `json:"bytes,omitempty"`           // of a span on disk
	What          string  `json:"what,omitempty"`
	Median        float64 `json:"p50_ms,omitempty"`
	P95           float64 `json:"p95_ms,omitempty"`
	CPU           float64 `json:"cpu_ms,omitempty"` // median
	Found         int     `json:"found,omitempty"`
}

// storePart: how fast spans go into a store beside readers, and how fast they are found in a large one.
func storePart(b *bench) (*outcome, error) {
	spans := 10_000_000
	if b.quick {
		spans = 200_000
	}
	found, err := cargoBench[stored](b, "store", "search", "--spans", strconv.Itoa(spans), "--folder", filepath.Join(b.work, "store"))
	if err != nil {
		return nil, err
	}
	result := &outcome{Raw: found}
	for _, f := range found {
		if f.What == "" {
			result.Rows = append(result.Rows,
				row{What: "spans in, a second of one core", Unit: "/s", Value: f.PerCoreSecond, Goal: atLeast(ofValue, 50_000)},
				row{What: "a span on disk", Unit: "B", Value: f.Bytes, Note: fmt.Sprintf("%d spans; %.0f a second by the clock", f.Spans, f.PerSecond)},
			)
			continue
		}
		limit := 200.0
		if f.What == "trace by id" {
			limit = 5
		}
		note := fmt.Sprintf("median %.2f ms, %.2f on the CPU; %d found", f.Median, f.CPU, f.Found)
		result.Rows = append(result.Rows, row{What: f.What + ", p95", Unit: "ms", Value: f.P95, Goal: atMost(ofValue, limit), Note: note})
	}
	return result, nil
}
