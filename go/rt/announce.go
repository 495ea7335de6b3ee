package rt

// Spans that are announced: others may be their children before it is known whether they ever leave a record. A workflow's is
// one: it runs for months, now in this process and now in another one, each of which does again what was done before.
//
// Its ids are the caller's, so that each process that announces it announces the same one. Nothing is recorded of it until
// Tell, and nothing is left of it without. It takes no place in the in-flight table.

// Announce returns such a span, which runs until Forget: to be current (Resume), and to be a parent. It continues what the
// headers say; where they say nothing it begins the given trace, which must be random. Nothing can be set on it.
//
//go:norace
func Announce(op *Op, in *Incoming, traceID [16]byte, spanID [8]byte) *Span {
	if op == nil || memory == nil || traceID == [16]byte{} || spanID == [8]byte{} {
		return nil
	}
	span := &Span{captured: 1, valid: 1, kind: op.kind}
	var remote parent
	if tracestate, known := in.parent(&remote); known {
		span.continueTrace(&remote, tracestate)
		if in.baggage != "" {
			span.baggage = cleanBaggage(in.baggage)
		}
	} else {
		span.trace, span.traceFlags = traceID, rootFlags
		if rule := rootRule(); randomness(&traceID) >= rule.threshold {
			span.traceFlags |= sampledFlag
			span.tracestate = rule.state
		}
	}
	span.id, span.root = spanID, span
	span.live = span.number()
	span.rootLive = span.live
	return span
}

// Tell begins the record of an announced span: StartedAt and End must follow. It is current nowhere.
//
//go:norace
func (s *Span) Tell(op *Op) *Span {
	if s == nil || op == nil || !op.On() || Muted() {
		return nil
	}
	told := takeSpan()
	told.trace, told.traceFlags, told.foreign, told.extra = s.trace, s.traceFlags, s.foreign, s.extra
	told.tracestate, told.baggage = s.tracestate, s.baggage
	told.parent, told.parentID, told.root = nil, s.parentID, told
	told.prepare(op)
	told.setID(&s.id)
	if s.parentID != 0 {
		(*recordLayout)(told.entry).flags = recordFlagRemoteParent
	}
	told.home = 0
	told.begin(nil)
	return told
}

// Forget says that an announced span runs no longer, here.
//
//go:norace
func (s *Span) Forget() {
	if s != nil {
		s.live = 0
	}
}
