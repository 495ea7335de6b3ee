package rt

// What hooks ask about the span that is current, where a library's operations are made of each other: only the outermost
// one shall have a span.

// Woven returns what Current would, past spans that the program made by hand.
//
//go:norace
func Woven() *Span {
	span := Current()
	if span != nil && span.byHand {
		span = span.nearestWoven()
	}
	return span
}

// Is says whether the span runs and is one of that operation. Any goroutine may ask.
//
//go:norace
func (s *Span) Is(op *Op) bool {
	if s == nil || s.live == 0 {
		return false
	}
	record := (*recordLayout)(s.entry) // nil: it is ending
	return record != nil && record.descriptor == op.id
}

// Has says whether the span has an attribute with this key, which must be a dimension of metrics.
//
//go:norace
func (s *Span) Has(k Key) bool { return s != nil && k < firstNonMetricKey && s.keys&(1<<k) != 0 }

// Link has s point to the span that the headers speak of, if they do: for a batch of messages, of which each has headers
// of its own.
//
//go:norace
func (in *Incoming) Link(s *Span) {
	var remote parent
	if _, found := in.parent(&remote); found {
		s.Link(&remote.trace, &remote.span)
	}
}
