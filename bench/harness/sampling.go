package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
)

// sampled is what crates/agent/benches/sample.rs says of traces of one size.
type sampled struct {
	Spans      int     `json:"spans"`
	WireBytes  float64 `json:"wire_bytes"`  // of a span
	Held       float64 `json:"held"`        // bytes for each of them, as the allocator counts
	OwnAccount float64 `json:"own_account"` // the same, as the stage counts
	TakeIn     float64 `json:"take_in_ns"`
	Drop       float64 `json:"drop_ns"`
	Look       float64 `json:"look_ns"`
	Keep       float64 `json:"keep_ns"`
}

// samplingPart: what spans cost that wait for the decision on their trace.
func samplingPart(b *bench) (*outcome, error) {
	command := exec.CommandContext(b.ctx, "cargo", "bench", "--quiet", "--package", "agent", "--bench", "sample", "--", "--json")
	command.Dir = filepath.Join(b.folder, "..")
	var complaints bytes.Buffer
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, complaints.String())
	}
	var found []sampled
	for lines := json.NewDecoder(bytes.NewReader(output)); lines.More(); {
		var line sampled
		if err := lines.Decode(&line); err != nil {
			return nil, fmt.Errorf("what the bench says: %w", err)
		}
		found = append(found, line)
	}
	result := &outcome{Raw: found}
	for _, f := range found {
		name := func(what string) string { return fmt.Sprintf("traces of %d: %s", f.Spans, what) }
		result.Rows = append(result.Rows,
			row{What: name("bytes held for each on the wire"), Value: f.Held, Goal: atMost(ofValue, 1.3)},
			row{What: name("a span, to take in"), Unit: "ns", Value: f.TakeIn, Goal: atMost(ofValue, 300)},
			row{What: name("a span, to take in and look for what is certain"), Unit: "ns", Value: f.Look},
			row{What: name("a span, to drop"), Unit: "ns", Value: f.Drop},
			row{What: name("a span, to keep"), Unit: "ns", Value: f.Keep},
		)
	}
	return result, nil
}
