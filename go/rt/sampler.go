package rt

import "sync/atomic"

// The head decision: OpenTelemetry's samplers, reduced to one threshold and one bit. A trace is kept when the low 56 bits
// of its id are at least the threshold, so that all services that sample by ratio keep the same traces.

const neverSample = 1 << 56

var (
	// samplingThreshold decides on traces that begin here, and on all traces when followParent is not set.
	samplingThreshold uint64
	// followParent: a remote parent's decision is taken over.
	followParent = true
)

// configureSampler understands OTEL_TRACES_SAMPLER and its argument. What it does not know is the default,
// parentbased_always_on, as the specification says.
func configureSampler(name, argument string) {
	samplingThreshold, followParent = 0, true
	const prefix = "parentbased_"
	base := name
	if len(base) > len(prefix) && base[:len(prefix)] == prefix {
		base = base[len(prefix):]
	} else if name == "always_on" || name == "always_off" || name == "traceidratio" {
		followParent = false
	} else if name != "" {
		debug("OTEL_TRACES_SAMPLER=", name, " is not known; every trace is kept")
		return
	}
	switch base {
	case "", "always_on":
	case "always_off":
		samplingThreshold = neverSample
	case "traceidratio":
		ratio, valid := parseRatio(argument)
		if !valid && argument != "" {
			debug("OTEL_TRACES_SAMPLER_ARG=", argument, " is not a ratio; every trace is kept")
		}
		samplingThreshold = thresholdOf(ratio)
	default:
		debug("OTEL_TRACES_SAMPLER=", name, " is not known; every trace is kept")
	}
}

// thresholdOf turns the share of traces to keep into a threshold.
func thresholdOf(ratio float64) uint64 {
	return neverSample - uint64(ratio*neverSample+0.5)
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

// sampleRoot decides on a trace that begins here.
//
//go:norace
func sampleRoot(trace *[16]byte) bool {
	threshold := samplingThreshold
	if atomic.LoadUint32(&control.flags)&controlSampling != 0 {
		threshold = atomic.LoadUint64(&control.samplingThreshold)
	}
	return randomness(trace) >= threshold
}

// sampleRemote decides on a trace that another process began, and kept or not.
//
//go:norace
func sampleRemote(trace *[16]byte, kept bool) bool {
	if followParent {
		return kept
	}
	return randomness(trace) >= samplingThreshold
}

// randomness is the low 56 bits of a trace id, as W3C numbers them.
func randomness(trace *[16]byte) uint64 {
	return uint64(trace[15]) | uint64(trace[14])<<8 | uint64(trace[13])<<16 | uint64(trace[12])<<24 |
		uint64(trace[11])<<32 | uint64(trace[10])<<40 | uint64(trace[9])<<48
}
