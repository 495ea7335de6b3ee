package main

// spanPart: a span in the program, start to end, all cases in one process.
func spanPart(b *bench) (*outcome, error) {
	binary, err := b.build("span", true)
	if err != nil {
		return nil, err
	}
	found, err := b.measure(pinned(serverCore, binary, "-rounds", pick(b, "500", "10")), b.noAgent())
	if err != nil {
		return nil, err
	}
	clock := fast(found.of("clock").all())
	result := &outcome{Raw: found, Rows: []row{found.alone("clock read, the yardstick", "clock", nil)}}
	// A slow clock is the machine's, not ours: the goals are nanoseconds or so many clock reads, what is more.
	absolute := func(nanoseconds, reads float64) *goal { return atMost(ofValue, max(nanoseconds, reads*clock)) }
	result.Rows = append(result.Rows,
		found.alone("span with ten attributes", "ten", absolute(150, 6)),
		found.alone("span with six attributes", "six", absolute(120, 5)),
		found.alone("span not sampled, with its count", "unsampled", absolute(100, 4)),
		found.alone("child span without attributes", "child", nil),
		found.alone("hooks dormant, ten calls", "dormant", nil),
		found.times("SDK's span with ten attributes", "sdk ten", "ten", atLeast(ofRatio, 30)),
		found.times("SDK's, its processor's work included", "sdk ten, processed", "ten", nil),
		found.times("SDK's span with six attributes", "sdk six", "six", nil),
		found.times("SDK's not sampled, without a count", "sdk unsampled", "unsampled", nil),
	)
	for _, name := range []string{"ten", "six", "unsampled", "child"} {
		result.Rows = append(result.Rows, row{What: "allocations, " + name + " (base: the SDK)", Value: found.Counts[name+" allocations"],
			Base: pointer(found.Counts["sdk ten allocations"]), Goal: atMost(ofValue, 0)})
	}
	result.Rows = append(result.Rows, row{What: "records that found the ring full", Value: found.Counts["dropped"], Goal: atMost(ofValue, 0)})
	return result, nil
}

// alone is a row of a case by itself; its control is its twin.
func (f *figures) alone(what, name string, limit *goal) row {
	s := f.of(name)
	return row{What: what, Unit: f.Unit, Value: fast(s.all()), Control: pointer(s.control()), Goal: limit,
		Median: pointer(median(s.all())),
		Noise:  noise(len(s.first), func(chosen []int) float64 { return fast(picked(s.first, chosen)) })}
}

// times is a row of how many times a case is another; its control and noise are of that ratio.
func (f *figures) times(what, name, base string, limit *goal) row {
	s, t := f.of(name), f.of(base)
	ratio := func(chosen []int) float64 { return fast(picked(s.first, chosen)) / fast(picked(t.first, chosen)) }
	return row{What: what, Unit: f.Unit, Base: pointer(fast(t.all())), Value: fast(s.all()), Goal: limit,
		Control: pointer(fast(s.second)/fast(t.second) - fast(s.first)/fast(t.first)),
		Noise:   noise(len(s.first), ratio)}
}

// added is a row of what a case costs more than another.
func (f *figures) added(what, name, base string, limit *goal) row {
	s, t := f.of(name), f.of(base)
	_, unsure, middle := difference(t, s)
	return row{What: what, Unit: f.Unit, Base: pointer(fast(t.all())), Value: fast(s.all()), Goal: limit,
		Control: pointer(t.control()), Noise: unsure, Median: pointer(middle)}
}
