package rt

import "unsafe"

// A trace and its baggage cross from process to process in headers. Incoming is what came with a call, Outgoing what goes
// out with one. Hooks hand over headers by name, and need not know the formats.

var (
	// formats is what OTEL_PROPAGATORS says.
	formats = defaultPropagators
	// readHeads are the headers to read; headLengths has a bit for each length that such a name can have.
	readHeads   uint16
	headLengths uint64
	// carriers, parents are the headers that are read, and those of them that say which trace it is.
	carriers, parents []Header
)

// usePropagators is called at start-up.
func usePropagators(chosen propagators) {
	formats, readHeads, headLengths, carriers, parents = chosen, chosen.reads(), 0, nil, nil
	for index := range headers {
		if readHeads&(1<<index) == 0 {
			continue
		}
		carriers = append(carriers, headers[index])
		headLengths |= 1 << len(headers[index].Lower)
		if 1<<index&(headTraceparent|headB3|headB3Trace) != 0 {
			parents = append(parents, headers[index])
		}
	}
}

// MayCarry says whether a header of that name can be one that Catch wants: for loops over all headers.
func MayCarry(name string) bool { return headLengths>>uint(len(name))&1 != 0 }

// Carriers are the headers that Catch wants.
func Carriers() []Header { return carriers }

// Parents are those of them that say which trace and span a call belongs to.
func Parents() []Header { return parents }

// Incoming is the context that came with a call, from one header after the other. The zero value is none.
type Incoming struct {
	// Path is what the call asks for, where `tandem disable --route` and an agent's table of routes may name it: a URL's path,
	// a full method.
	Path string

	traceparent, tracestate, baggage string
	b3                               b3Headers
}

// Catch looks at a header, in whatever case its name is. What must be there once and is not, is not to be trusted.
func (in *Incoming) Catch(name string, values []string) {
	if len(values) == 0 || !MayCarry(name) {
		return
	}
	switch head, once := headOf(name)&readHeads, len(values) == 1; {
	case head == 0:
	case head == headTracestate:
		in.tracestate = joinValues(values)
	case head == headBaggage:
		in.baggage = joinValues(values)
	case head == headTraceparent && once:
		in.traceparent = values[0]
	case head == headB3 && once:
		in.b3.catchOne(values[0])
	case head == headB3Trace:
		in.b3.catch(b3HasTrace, values, once)
	case head == headB3Span:
		in.b3.catch(b3HasSpan, values, once)
	case head == headB3Sampled:
		in.b3.catch(b3HasSampled, values, once)
	case head == headB3Flags:
		in.b3.catch(b3HasFlags, values, once)
	case head == headB3Parent:
		in.b3.catch(b3HasParent, values, once)
	}
}

// joinValues makes one of several headers of the same name, as HTTP allows. It allocates only when they are several.
func joinValues(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	var all []byte
	for index, value := range values {
		if index > 0 {
			all = append(all, ',')
		}
		all = append(all, value...)
	}
	return string(all)
}

// parent gives the span that the call belongs to, and the tracestate as it came.
func (in *Incoming) parent(into *parent) (tracestate string, found bool) {
	if formats.b3Wins && in.b3.parent(into) {
		return "", true
	}
	if in.traceparent != "" && parseTraceparent(in.traceparent, into) {
		return in.tracestate, true
	}
	return "", !formats.b3Wins && in.b3.parent(into)
}

// Continues says whether the call belongs to the span's own trace.
//
//go:norace
func (in *Incoming) Continues(s *Span) bool {
	var remote parent
	_, found := in.parent(&remote)
	return found && s != nil && remote.trace == s.trace
}

// Outgoing is the context that goes out with a call, for whoever writes its headers. It holds no span, so the call may
// outlive that. The zero value is none. It must stay where it is, and unchanged, for as long as its texts are in use.
type Outgoing struct {
	traceparent [TraceparentSize]byte
	flags       uint8
	heads       uint16
	tracestate  string
	more        *outgoingMore
}

const outgoingDebug = 1 << 7 // among flags

// outgoingMore is what most calls have not.
type outgoingMore struct {
	b3      [b3Size]byte
	baggage string
}

// Fill takes the context of the span that makes the call, and the baggage of its context.Context where that has its own.
// It allocates only for baggage and for a single header of B3.
//
//go:norace
func (o *Outgoing) Fill(s *Span, ctx interface{ Value(any) any }) {
	*o = Outgoing{}
	if s == nil {
		return
	}
	if formats.traceContext || formats.b3 || formats.b3Multi {
		appendTraceparent(o.traceparent[:0], &s.trace, &s.id, s.traceFlags)
		o.flags = s.traceFlags & sampledFlag
		if s.extra&b3Debug != 0 {
			o.flags |= outgoingDebug
		}
	}
	if formats.traceContext {
		o.heads = headTraceparent
		if s.tracestate != "" {
			o.tracestate = s.tracestate
			o.heads |= headTracestate
		}
	}
	if formats.b3Multi {
		o.heads |= headB3Trace | headB3Span | headB3Sampled
		if o.flags&outgoingDebug != 0 { // which says that the trace is kept, too
			o.heads ^= headB3Sampled | headB3Flags
		}
	}
	if formats.b3 {
		o.heads |= headB3
		o.more = new(outgoingMore)
		sampled := o.sampled()
		if o.flags&outgoingDebug != 0 {
			sampled = "d"
		}
		writeB3(&o.more.b3, &o.traceparent, sampled)
	}
	if formats.baggage {
		if baggage := baggageOf(s, ctx); baggage != "" {
			if o.more == nil {
				o.more = new(outgoingMore)
			}
			o.more.baggage = baggage
			o.heads |= headBaggage
		}
	}
}

func (o *Outgoing) sampled() string {
	if o.flags&sampledFlag != 0 {
		return "1"
	}
	return "0"
}

// Heads has a bit for each header that there is to write. The lowest comes first:
//
//	for heads := out.Heads(); heads != 0; heads &= heads - 1 {
//		name, value := out.Header(heads)
func (o *Outgoing) Heads() uint16 { return o.heads }

// Without leaves out a header: the program writes its own.
func (o *Outgoing) Without(name string) { o.heads &^= headOf(name) }

// Header returns the header of the lowest bit. Its value lies in o.
func (o *Outgoing) Header(heads uint16) (name *Header, value string) {
	switch heads & -heads {
	case headTraceparent:
		return &headers[0], unsafe.String(&o.traceparent[0], TraceparentSize)
	case headTracestate:
		return &headers[1], o.tracestate
	case headB3:
		return &headers[2], unsafe.String(&o.more.b3[0], b3Size)
	case headB3Trace:
		return &headers[3], unsafe.String(&o.traceparent[3], 32)
	case headB3Span:
		return &headers[4], unsafe.String(&o.traceparent[36], 16)
	case headB3Sampled:
		return &headers[5], o.sampled()
	case headB3Flags:
		return &headers[6], "1"
	}
	return &headers[8], o.more.baggage
}

// readBaggage returns the baggage that a context.Context carries by other means than its span.
var readBaggage func(ctx interface{ Value(any) any }) (text string, found bool)

// ReadBaggage is for a pack that knows of baggage in contexts; its function is asked for each call that goes out. It is
// for initialisers of packages.
func ReadBaggage(from func(ctx interface{ Value(any) any }) (text string, found bool)) {
	readBaggage = from
}

// baggageOf is the context's own baggage, else the span's.
//
//go:norace
func baggageOf(s *Span, ctx interface{ Value(any) any }) string {
	if readBaggage != nil && ctx != nil {
		if text, found := readBaggage(ctx); found {
			return cleanBaggage(text)
		}
	}
	return s.baggage
}

// Baggage returns the baggage that came with the trace, or was set; see NextBaggage.
//
//go:norace
func (s *Span) Baggage() string {
	if s == nil {
		return ""
	}
	return s.baggage
}

// BaggageValue returns the value of a key; where there are several, the last one.
func (s *Span) BaggageValue(key string) (value string, found bool) {
	for rest := s.Baggage(); rest != ""; {
		var name, candidate string
		name, candidate, rest = NextBaggage(rest)
		if name == key {
			value, found = candidate, true
		}
	}
	return value, found
}

// SetBaggage replaces the span's baggage, in the header's form, for its calls and for spans that become its children.
// What is not baggage, or beyond the limits, is left out. It is for the goroutine that has the span.
//
//go:norace
func (s *Span) SetBaggage(text string) {
	if s != nil && s.state&stateLive != 0 {
		s.baggage = cleanBaggage(text)
	}
}
