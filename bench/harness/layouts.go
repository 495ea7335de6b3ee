package main

// layouts compare a plain binary with a woven one. How the functions happen to lie in a binary moves a figure by more than
// what is looked for, so both are linked several times in random order: one figure for each layout.
type layouts struct {
	Plain []float64 `json:"plain"`
	Woven []float64 `json:"woven"`
}

// compareLayouts runs the program's layouts in turn and takes one case's figure from each.
func (b *bench) compareLayouts(program, name string, arguments ...string) (*layouts, error) {
	found := &layouts{}
	for number := 1; number <= pick(b, 6, 2); number++ {
		for _, woven := range []bool{number%2 == 0, number%2 == 1} {
			binary, err := b.build(program, woven, layout(number)...)
			if err != nil {
				return nil, err
			}
			own, wovenName := arguments, name
			if program == "memory" && woven {
				own, wovenName = append([]string{"-modes", "dormant"}, arguments...), "dormant"
			}
			measured, err := b.measure(pinned(serverCore, append([]string{binary}, own...)...), b.noAgent())
			if err != nil {
				return nil, err
			}
			value := fast(measured.of(wovenName).all())
			if woven {
				found.Woven = append(found.Woven, value)
			} else {
				found.Plain = append(found.Plain, value)
			}
		}
	}
	return found, nil
}

// row compares the means over layouts; the control is one half of the plain layouts against the other.
func (l *layouts) row(what, unit string, limit *goal) row {
	differences := make([]float64, len(l.Plain))
	var even, odd []float64
	for index := range l.Plain {
		differences[index] = l.Woven[index] - l.Plain[index]
		if index%2 == 0 {
			even = append(even, l.Plain[index])
		} else {
			odd = append(odd, l.Plain[index])
		}
	}
	return row{What: what, Unit: unit, Base: pointer(mean(l.Plain)), Value: mean(l.Woven), Goal: limit,
		Noise: interval(differences), Control: pointer(mean(odd) - mean(even)), Median: pointer(median(differences))}
}
