package main

import "fmt"

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
	found, err := cargoBench[sampled](b, "agent", "sample")
	if err != nil {
		return nil, err
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
