package rt

// OpenTelemetry's samplers, reduced to one threshold and two bits. A trace is kept when its randomness reaches the
// threshold: the low 56 bits of its id, or what "rv" in its tracestate says. So all services that sample by ratio keep the
// same traces, and of two ratios the higher one keeps all that the lower one does.

const neverSample = 1 << 56

// rule is how to decide on a trace.
type rule struct {
	threshold   uint64
	probability bool   // the threshold is told in the tracestate
	state       string // the tracestate of a trace that begins so
}

// sampler is what OTEL_TRACES_SAMPLER says.
type sampler struct {
	rule
	followParent bool // a remote parent's decision is taken over
}

func ratioRule(ratio float64) rule {
	threshold := thresholdOf(ratio)
	if threshold == neverSample {
		return rule{threshold: neverSample}
	}
	return rule{threshold, true, thresholdState(threshold)}
}

// parseSampler understands a sampler's name and its argument. What it does not know is the default,
// parentbased_always_on, as the specification says; wrong is told what.
func parseSampler(name, argument string, wrong func(variable, value, what string)) sampler {
	name, argument = trimBlanks(name), trimBlanks(argument)
	const prefix = "parentbased_"
	result, base := sampler{}, name
	if len(base) > len(prefix) && equalFold(base[:len(prefix)], prefix) {
		result.followParent, base = true, base[len(prefix):]
	}
	switch {
	case name == "":
		result.followParent = true
	case equalFold(base, "always_on"):
	case equalFold(base, "always_off"):
		result.threshold = neverSample
	case equalFold(base, "traceidratio"):
		ratio, valid := parseRatio(argument)
		if !valid && argument != "" {
			wrong("OTEL_TRACES_SAMPLER_ARG", argument, "is not a number from 0 to 1; every trace is kept")
		}
		result.rule = ratioRule(ratio)
	default:
		result.followParent = true
		wrong("OTEL_TRACES_SAMPLER", name, "is not known here; parentbased_always_on is used")
	}
	return result
}

// equalFold compares ASCII text without regard to case; lower must be in lower case.
func equalFold(text, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for index := 0; index < len(text); index++ {
		letter := text[index]
		if 'A' <= letter && letter <= 'Z' {
			letter += 'a' - 'A'
		}
		if letter != lower[index] {
			return false
		}
	}
	return true
}

// continued decides on a trace that another process began, and says what its tracestate becomes. root is the rule for
// traces that begin here: a parent that has not decided leaves it to us.
func (s *sampler) continued(remote *parent, text string, root *rule) (kept bool, state string) {
	var facts stateFacts
	var ot otFacts
	if text != "" {
		facts = scanState(text)
	}
	random := randomness(&remote.trace)
	if facts.hasOT {
		ot = scanOT(facts.ot)
		if ot.hasRandomness {
			random = ot.randomness
		}
	}
	change := uint64(keepThreshold)
	decider := &s.rule
	if s.followParent {
		decider = root
	}
	switch {
	case s.followParent && remote.extra&b3Deferred == 0:
		kept = remote.flags&sampledFlag != 0
		// What does not fit the decision would make somebody count wrong.
		if ot.mentionsThreshold && !(kept && ot.hasThreshold && random >= ot.threshold) {
			change = eraseThreshold
		}
	case random < decider.threshold:
		if ot.mentionsThreshold {
			change = eraseThreshold
		}
	default:
		kept = true
		told := decider.probability || ot.mentionsThreshold
		if told && !(ot.hasThreshold && ot.threshold == decider.threshold) {
			change = decider.threshold
		}
	}
	if change < neverSample && !facts.valid {
		return kept, decider.state
	}
	return kept, renewState(text, &facts, change)
}

// thresholdOf turns the share of traces to keep into a threshold. As the specification recommends it has four digits
// behind those that say how small the share is: so it is short in the tracestate, and the same in all implementations.
func thresholdOf(ratio float64) uint64 {
	threshold := neverSample - uint64(ratio*neverSample+0.5)
	precision := 4
	for share := ratio; share > 0 && share < 1.0/16 && precision < otDigits; share *= 16 {
		precision++
	}
	unit := uint64(1) << (4 * (otDigits - precision))
	rounded := (threshold + unit/2) / unit * unit
	if rounded >= neverSample && threshold < neverSample {
		return neverSample - unit
	}
	return rounded
}

// parseRatio reads a decimal between 0 and 1, with an exponent if need be. Anything else is 1, not valid.
func parseRatio(text string) (ratio float64, valid bool) {
	var digits, scale float64 = 0, 1
	index, seen, point := 0, false, false
	for ; index < len(text); index++ {
		letter := text[index]
		if letter == '.' && !point {
			point = true
			continue
		}
		if letter < '0' || letter > '9' {
			break
		}
		seen = true
		if digits < 1<<52 {
			digits = digits*10 + float64(letter-'0')
			if point {
				scale *= 10
			}
		} else if !point {
			return 1, false
		}
	}
	if !seen {
		return 1, false
	}
	ratio = digits / scale
	if index < len(text) {
		power, signed, valid := parseExponent(text[index:])
		if !valid {
			return 1, false
		}
		for ; power > 0; power-- {
			if signed {
				ratio /= 10
			} else {
				ratio *= 10
			}
		}
	}
	if ratio < 0 || ratio > 1 {
		return 1, false
	}
	return ratio, true
}

// parseExponent reads "e-3", "E+2", "e0".
func parseExponent(text string) (power int, negative, valid bool) {
	if len(text) < 2 || (text[0] != 'e' && text[0] != 'E') {
		return 0, false, false
	}
	text = text[1:]
	if text[0] == '-' || text[0] == '+' {
		negative = text[0] == '-'
		text = text[1:]
	}
	if len(text) == 0 || len(text) > 3 {
		return 0, false, false
	}
	for index := 0; index < len(text); index++ {
		if text[index] < '0' || text[index] > '9' {
			return 0, false, false
		}
		power = power*10 + int(text[index]-'0')
	}
	return power, negative, true
}

// randomness is the low 56 bits of a trace id, as W3C numbers them.
func randomness(trace *[16]byte) uint64 {
	return uint64(trace[15]) | uint64(trace[14])<<8 | uint64(trace[13])<<16 | uint64(trace[12])<<24 |
		uint64(trace[11])<<32 | uint64(trace[10])<<40 | uint64(trace[9])<<48
}
