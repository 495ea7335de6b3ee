package main

// parkPart: park and unpark with a span on both sides and without, in one process; and without a span, woven against plain,
// over several layouts of both binaries.
func parkPart(b *bench) (*outcome, error) {
	rounds := pick(b, "1500", "10")
	binary, err := b.build("park", true)
	if err != nil {
		return nil, err
	}
	found, err := b.measure(pinned(serverCore, binary, "-rounds", rounds), b.noAgent())
	if err != nil {
		return nil, err
	}
	found.scale(0.5) // the word's way to and fro is two pairs
	layouts, err := b.compareLayouts("park", "without", "-rounds", pick(b, "600", "5"), "-limit", "4s")
	if err != nil {
		return nil, err
	}
	for _, values := range [][]float64{layouts.Plain, layouts.Woven} {
		for index := range values {
			values[index] /= 2
		}
	}
	result := &outcome{Raw: map[string]any{"paired": found, "layouts": layouts}, Rows: []row{
		found.added("park and unpark with a span, each pair", "with", "without", atMost(ofDifference, 80)),
		layouts.row("without a span, woven against plain", "ns", nil),
	}}
	last := &result.Rows[1]
	last.Goal = atMost(ofDifference, max(last.Noise, *last.Control, -*last.Control))
	last.Note = "the goal is what the layouts of one binary differ by: nothing measurable."
	return result, nil
}

// scale multiplies all times.
func (f *figures) scale(by float64) {
	for _, values := range f.Rounds {
		for index := range values {
			values[index] *= by
		}
	}
}
