// Package rt is that part of go/rt which reads and writes headers and decides on sampling, file by file the same (they are
// links), outside a woven GOROOT: so that it can be compared with the reference implementations, and fuzzed.
package rt

// Parent is what headers say of the span that a call belongs to.
type Parent struct {
	Trace           [16]byte
	Span            [8]byte
	Flags           uint8
	Debug, Deferred bool
}

func exported(p *parent) Parent {
	return Parent{p.trace, p.span, p.flags, p.extra&b3Debug != 0, p.extra&b3Deferred != 0}
}

// ParseTraceparent reads a traceparent header.
func ParseTraceparent(text string) (Parent, bool) {
	var into parent
	valid := parseTraceparent(text, &into)
	return exported(&into), valid
}

// Traceparent writes one.
func Traceparent(p Parent) string { return string(appendTraceparent(nil, &p.Trace, &p.Span, p.Flags)) }

// B3 is what B3's headers hold.
type B3 struct{ Single, Trace, Span, Parent, Sampled, Flags string }

// ParseB3 reads them.
func ParseB3(b3 B3) (Parent, bool) {
	var headers b3Headers
	var into parent
	if b3.Single != "" {
		headers.catchOne(b3.Single)
	}
	for which, value := range map[uint8]string{
		b3HasTrace: b3.Trace, b3HasSpan: b3.Span, b3HasParent: b3.Parent, b3HasSampled: b3.Sampled, b3HasFlags: b3.Flags,
	} {
		headers.catch(which, []string{value}, true)
	}
	valid := headers.parent(&into)
	return exported(&into), valid
}

// SingleB3 writes a single header.
func SingleB3(p Parent, sampled string) string {
	var traceparent [TraceparentSize]byte
	var text [b3Size]byte
	appendTraceparent(traceparent[:0], &p.Trace, &p.Span, p.Flags)
	writeB3(&text, &traceparent, sampled)
	return string(text[:])
}

// Tracestate is what travels on of a tracestate header.
func Tracestate(text string) string {
	facts := scanState(text)
	return renewState(text, &facts, keepThreshold)
}

// The limits.
const (
	TracestateLimit    = tracestateLimit
	StateMemberLimit   = stateMemberLimit
	BaggageLimit       = baggageLimit
	BaggageMemberLimit = baggageMemberLimit
)

// Baggage is what travels on of a baggage header.
func Baggage(text string) string { return cleanBaggage(text) }

// Sampler is one by its name and argument; wrong counts what was not understood.
func Sampler(name, argument string) (s *SamplerOf, wrong int) {
	parsed := parseSampler(name, argument, func(string, string, string) { wrong++ })
	return &SamplerOf{parsed}, wrong
}

// SamplerOf is a sampler.
type SamplerOf struct{ sampler sampler }

// Root decides on a trace that begins here.
func (s *SamplerOf) Root(trace [16]byte) (kept bool, state string) {
	if randomness(&trace) < s.sampler.threshold {
		return false, ""
	}
	return true, s.sampler.state
}

// Continued decides on a trace that began elsewhere.
func (s *SamplerOf) Continued(p Parent, text string) (kept bool, state string) {
	remote := parent{trace: p.Trace, span: p.Span, flags: p.Flags}
	if p.Deferred {
		remote.extra = b3Deferred
	}
	return s.sampler.continued(&remote, text, &s.sampler.rule)
}

// Threshold is that of a ratio.
func Threshold(ratio float64) uint64 { return thresholdOf(ratio) }

// Ratio reads a number from 0 to 1.
func Ratio(text string) (float64, bool) { return parseRatio(text) }

// Propagators understands a list of names; wrong counts those that are not known.
func Propagators(list string) (traceContext, baggage, b3, b3Multi bool, wrong int) {
	parsed := parsePropagators(list, func(string, string, string) { wrong++ })
	return parsed.traceContext, parsed.baggage, parsed.b3, parsed.b3Multi, wrong
}
