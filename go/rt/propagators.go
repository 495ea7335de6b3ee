package rt

// Which headers carry a trace and its baggage: OTEL_PROPAGATORS.

// propagators says which formats are read from calls that come in, and written to calls that go out.
type propagators struct {
	traceContext, baggage, b3, b3Multi bool
	b3Wins                             bool // where both are there, B3 is believed: it comes later in the list
}

var defaultPropagators = propagators{traceContext: true, baggage: true}

// parsePropagators understands a list of names. One "none" is none at all. What is not known is told to wrong and left
// out; where nothing is left, the default stays.
func parsePropagators(list string, wrong func(variable, value, what string)) (result propagators) {
	if trimBlanks(list) == "" {
		return defaultPropagators
	}
	known := false
	for more := true; more; {
		var name string
		name, list, more = cutAt(list, ',')
		name = trimBlanks(name)
		switch {
		case name == "":
			continue
		case equalFold(name, "none"):
			return propagators{}
		case equalFold(name, "tracecontext"):
			if !result.traceContext { // a second mention is none
				result.traceContext, result.b3Wins = true, false
			}
		case equalFold(name, "baggage"):
			result.baggage = true
		case equalFold(name, "b3"):
			result.b3Wins = result.b3Wins || !result.b3
			result.b3 = true
		case equalFold(name, "b3multi"):
			result.b3Wins = result.b3Wins || !result.b3Multi
			result.b3Multi = true
		default:
			wrong("OTEL_PROPAGATORS", name, "is not known here; it is left out")
			continue
		}
		known = true
	}
	if !known {
		return defaultPropagators
	}
	return result
}

// Header is a header's name as HTTP/2 and gRPC write it, as net/http keeps it, and as a variable of the environment.
type Header struct{ Lower, Canonical, Variable string }

// The headers that there are. Each is written behind those before it.
const (
	headTraceparent = 1 << iota
	headTracestate
	headB3
	headB3Trace
	headB3Span
	headB3Sampled
	headB3Flags
	headB3Parent
	headBaggage
)

var headers = [...]Header{
	{"traceparent", "Traceparent", "TRACEPARENT"},
	{"tracestate", "Tracestate", "TRACESTATE"},
	{"b3", "B3", "B3"},
	{"x-b3-traceid", "X-B3-Traceid", "X_B3_TRACEID"},
	{"x-b3-spanid", "X-B3-Spanid", "X_B3_SPANID"},
	{"x-b3-sampled", "X-B3-Sampled", "X_B3_SAMPLED"},
	{"x-b3-flags", "X-B3-Flags", "X_B3_FLAGS"},
	{"x-b3-parentspanid", "X-B3-Parentspanid", "X_B3_PARENTSPANID"},
	{"baggage", "Baggage", "BAGGAGE"},
}

// reads returns the headers that are looked at.
func (p *propagators) reads() (heads uint16) {
	if p.traceContext {
		heads |= headTraceparent | headTracestate
	}
	if p.b3 || p.b3Multi {
		heads |= headB3 | headB3Trace | headB3Span | headB3Sampled | headB3Flags | headB3Parent
	}
	if p.baggage {
		heads |= headBaggage
	}
	return heads
}

// headOf returns a header's bit, or 0.
func headOf(name string) uint16 {
	for index := range headers {
		if equalFold(name, headers[index].Lower) {
			return 1 << index
		}
	}
	return 0
}
