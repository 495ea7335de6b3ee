package rt

// B3, Zipkin's headers: one (b3: TRACE-SPAN-SAMPLED-PARENT) or several (x-b3-traceid and others). Each is taken apart
// when it is seen, in whatever order they come.

// parent.extra
const (
	b3Debug    = 1 << iota // the caller wants to see this trace at any price
	b3Deferred             // the caller has not decided whether to keep it
)

// What of the several headers was there.
const (
	b3HasTrace = 1 << iota
	b3HasSpan
	b3HasSampled
	b3HasParent
	b3HasFlags
	b3Broken // one of them is not what it must be
)

// b3Headers is what came of them.
type b3Headers struct {
	one     parent // of the single header, if oneIs
	oneIs   bool
	several parent
	seen    uint8
}

// parent gives what the headers say. A single one comes first.
func (h *b3Headers) parent(into *parent) bool {
	if h.oneIs {
		*into = h.one
		return true
	}
	if h.seen&(b3HasTrace|b3HasSpan|b3Broken) != b3HasTrace|b3HasSpan {
		return false
	}
	*into = h.several
	if h.seen&(b3HasSampled|b3HasFlags) == 0 {
		into.extra |= b3Deferred
	}
	return true
}

// catchOne reads a single header.
func (h *b3Headers) catchOne(text string) {
	h.oneIs = parseB3(text, &h.one)
}

// parseB3 reads a single header. One without ids says only whether to sample; there is no trace to go on with.
func parseB3(text string, into *parent) bool {
	*into = parent{}
	trace, rest, found := cutAt(text, '-')
	if !found || !parseB3Trace(trace, &into.trace) {
		return false
	}
	span, rest, more := cutAt(rest, '-')
	if !parseB3Span(span, &into.span) {
		return false
	}
	if !more {
		into.extra = b3Deferred
		return true
	}
	sampled, above, more := cutAt(rest, '-')
	switch sampled {
	case "0":
	case "1":
		into.flags = sampledFlag
	case "d":
		into.flags, into.extra = sampledFlag, b3Debug
	default:
		return false
	}
	var ignored [8]byte
	return !more || parseB3Span(above, &ignored)
}

// catch reads one of several headers; which is one of the b3Has bits. An empty one counts as none.
func (h *b3Headers) catch(which uint8, values []string, valid bool) {
	text := values[0]
	if text == "" && valid {
		return
	}
	switch which {
	case b3HasTrace:
		valid = valid && parseB3Trace(text, &h.several.trace)
	case b3HasSpan:
		valid = valid && parseB3Span(text, &h.several.span)
	case b3HasParent:
		var ignored [8]byte
		valid = valid && parseB3Span(text, &ignored)
	case b3HasSampled:
		switch {
		case text == "1" || equalFold(text, "true"):
			h.several.flags |= sampledFlag
		case text != "0" && !equalFold(text, "false"):
			valid = false
		}
	case b3HasFlags:
		if text != "1" {
			return // no other value means anything
		}
		h.several.flags |= sampledFlag
		h.several.extra |= b3Debug
	}
	h.seen |= which
	if !valid {
		h.seen |= b3Broken
	}
}

// parseB3Trace reads 16 or 32 digits that are not all 0.
func parseB3Trace(text string, into *[16]byte) bool {
	at := 16 - len(text)/2
	if (len(text) != 16 && len(text) != 32) || !parseHex(text, into[at:]) {
		return false
	}
	return *into != [16]byte{}
}

func parseB3Span(text string, into *[8]byte) bool {
	return len(text) == 16 && parseHex(text, into[:]) && *into != [8]byte{}
}

// parseHex reads digits, eight at a time, into half as many bytes.
func parseHex(text string, into []byte) bool {
	for at := 0; at+8 <= len(text); at += 8 {
		value, bad := parse8(load8(text[at : at+8]))
		if bad != 0 {
			return false
		}
		store4(into[at/2:at/2+4], value)
	}
	return true
}

// b3Size is the size of a single header: both ids and what was decided.
const b3Size = 32 + 1 + 16 + 2

// writeB3 makes a single header from a traceparent.
func writeB3(to *[b3Size]byte, traceparent *[TraceparentSize]byte, sampled string) {
	copy(to[:], traceparent[3:53])
	to[b3Size-1] = sampled[0]
}
