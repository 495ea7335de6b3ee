package rt

import (
	"sync/atomic"
	"unsafe"
)

// Start begins a span and makes it current on this goroutine. It is a child of explicit, or of what the slot holds (see
// chooseParent), or the root of a new trace. It returns nil when the operation is off.
//
//go:norace
func Start(op *Op, explicit *Span) *Span { return StartServed(op, explicit, "") }

// StartServed is Start for what serves below another server's span, such as calls that come in HTTP requests: path is what
// Incoming's is.
//
//go:norace
func StartServed(op *Op, explicit *Span, path string) *Span {
	if op == nil || !op.On() {
		return nil
	}
	at := here()
	current := (*Span)(at.context)
	if current == &muted {
		return nil
	}
	if current != nil && current.live == 0 {
		current = at.settle()
	}
	span, link := child(explicit, current)
	if span.twinOf(op) {
		span.giveBack()
		return nil
	}
	span.heed(op, path)
	span.leaveOut(op, path)
	span.prepare(op)
	span.enter(at)
	span.begin(link)
	return span
}

// StartDetached is Start without making the span current: for streams and others that end on any goroutine. Such a span
// has no anatomy.
//
//go:norace
func StartDetached(op *Op, explicit *Span) *Span {
	if op == nil || !op.On() {
		return nil
	}
	at := here()
	current := (*Span)(at.context)
	if current == &muted {
		return nil
	}
	if current != nil && current.live == 0 {
		current = at.settle()
	}
	span, link := child(explicit, current)
	if span.twinOf(op) {
		span.giveBack()
		return nil
	}
	span.heed(op, "")
	span.prepare(op)
	span.home = 0
	span.begin(link)
	return span
}

// StartRemote is StartIncoming for a call that came with these two headers.
//
//go:norace
func StartRemote(op *Op, traceparent, tracestate string) *Span {
	var in Incoming
	if formats.traceContext {
		in.traceparent, in.tracestate = traceparent, tracestate
	}
	return StartIncoming(op, &in)
}

// StartIncoming begins a span on the receiving side of a call: it continues the caller's trace, or makes a new one when no
// header says which. What the slot held does not matter, but is put back at the end.
//
//go:norace
func StartIncoming(op *Op, in *Incoming) *Span {
	if op == nil || !op.On() {
		return nil
	}
	at := here()
	if at.context == unsafe.Pointer(&muted) {
		return nil
	}
	span := takeSpan()
	var remote parent
	tracestate, known := in.parent(&remote)
	if known {
		span.continueTrace(&remote, tracestate)
	} else {
		span.newTrace()
	}
	span.heed(op, in.Path)
	span.leaveOut(op, in.Path)
	if in.baggage != "" {
		span.baggage = cleanBaggage(in.baggage)
	}
	span.prepare(op)
	span.state |= stateShared
	if known {
		(*recordLayout)(span.entry).flags = recordFlagRemoteParent
	}
	span.enter(at)
	span.begin(nil)
	return span
}

// child takes a span and gives it its parent, or the slot's stale context to link to.
//
//go:norace
func child(explicit, current *Span) (span, link *Span) {
	span = takeSpan()
	if explicit == nil && current == nil {
		span.newTrace()
		return span, nil
	}
	parent, link := chooseParent(explicit, current)
	if parent != nil {
		span.inherit(parent)
	} else {
		span.newTrace()
	}
	return span, link
}

// prepare gives the span its id and writes the record's head, but not its size: the entry still counts as free.
//
//go:norace
func (s *Span) prepare(op *Op) {
	id := uint64(0)
	if s.parentID == 0 {
		// A trace's first span takes its id from the trace's: as random, as unique, and 5 ns cheaper.
		id = *(*uint64)(unsafe.Pointer(&s.trace)) * 0x9e3779b97f4a7c15
	} else if s.counted {
		id = s.parentID
	}
	for id == 0 {
		id = rand()
	}
	*(*uint64)(unsafe.Pointer(&s.id)) = id
	s.live = id
	if s.root == s {
		s.rootLive = id
	}
	s.captured = 0
	s.state = stateLive
	s.valid, s.kind = 1, op.kind
	s.used, s.keys = recordSize, 0
	s.connection = 0

	record := (*recordLayout)(s.entry)
	record.descriptor, record.account = op.id, 0
	record.kind, record.traceFlags, record.status, record.flags = recordSpan, s.traceFlags, statusUnset, 0
	record.start = uint64(nanotime()) // before the look at the account: see finish
	if !s.kept() || s.unheard || s.counted {
		s.counted = false
		return
	}
	s.state = stateLive | stateSampled
	record.traceID = s.trace
	record.spanID = s.id
	*(*uint64)(unsafe.Pointer(&record.parentSpanID)) = s.parentID
	record.end = 0
}

// begin makes the entry live.
//
//go:norace
func (s *Span) begin(link *Span) {
	record := (*recordLayout)(s.entry)
	if s.state&stateSampled != 0 {
		record.size = s.used
	}
	if link != nil {
		s.Link(&link.trace, &link.id)
	}
	if s.tracestate != "" && s.state&stateSampled != 0 {
		s.text(itemTracestate, 0, s.tracestate)
	}
	if answered != atomic.LoadUint32(&control.generation) {
		answerAgent()
	}
}

// answered is the control page's generation for which the program has connected.
var answered uint32

// answerAgent starts the goroutine that connects, once a generation. It must not inherit the span.
func answerAgent() {
	generation := atomic.LoadUint32(&control.generation)
	if seen := atomic.LoadUint32(&answered); seen == generation || !atomic.CompareAndSwapUint32(&answered, seen, generation) {
		return
	}
	previous := Unset()
	go connectAgain()
	Restore(previous)
}

// End takes the clock, leaves the record (or its count, when the span is not sampled), and gives the slot back what it
// held before. A span ends once; it must not be used afterwards.
//
//go:norace
func (s *Span) End() {
	if s == nil || s.state&stateLive == 0 {
		return
	}
	if s.manual.used {
		s.tellDropped()
	}
	at := here()
	if s.captured == 0 && (s.home == 0 || at.context == unsafe.Pointer(s)) &&
		(s.state&stateShared == 0 || atomic.CompareAndSwapUint32(&s.captured, 0, closed)) || s.captured == closed {
		s.finish(at)
		s.parent, s.root, s.tracestate, s.baggage = nil, nil, "", "" // a free span must hold no other
		number := procPin()
		s.emit(number)
		if s.manual.used {
			s.tidy()
		}
		giveSpan(s, number)
		procUnpin()
		return
	}
	s.endCaptured(at)
}

// closed in place of captured: the record has ended and goes back, so it can no longer be captured.
const closed = 2

// endCaptured ends a span that others may be writing to. Its record stays theirs; its entry goes on to a new record.
//
//go:norace
func (s *Span) endCaptured(at *slot) {
	next := new(Span)
	number := procPin()
	locked := acquireShortly(&s.lock)
	if s.state&stateLive == 0 { // ended by another goroutine in between
		if locked {
			release(&s.lock)
		}
		procUnpin()
		return
	}
	s.finish(at)
	s.parent = nil
	s.emit(number)
	if locked {
		s.shrink()
		next.entry, next.ownEntry, next.unheard = s.entry, s.ownEntry, s.unheard && s.ownEntry
		s.entry = nil
		giveSpan(next, number)
		release(&s.lock)
	} else { // somebody was stopped while writing to the entry, and will go on
		atomic.AddUint64(&control.lostEntries, 1)
		if s.ownEntry && !s.unheard {
			atomic.AddInt32(&heapEntries, -1)
		}
	}
	procUnpin()
}

// finish completes the record, takes the clock, and leaves the slot.
//
// N.B. Both clock reads lie outside both looks at the account. A thread that loses the CPU in between adds to the wall time
// only, so that parts never are more than the whole.
//
//go:norace
func (s *Span) finish(at *slot) {
	state := s.state
	record := (*recordLayout)(s.entry)
	if state&(stateMeasured|stateTimed) == stateMeasured && s.home == uintptr(unsafe.Pointer(at)) && at.on != 0 {
		s.measureGo(at)
		before := s.used
		measured := s.measureKernel(at)
		record.end = uint64(nanotime())
		if measured && int64(record.end-atomic.LoadUint64(&control.heartbeat)) <= agentSilence {
			record.flags |= recordFlagKernelParts
		} else { // without an agent the counters stand still: that is not measured, not 0
			s.used = before
			*(*uint32)(unsafe.Add(s.entry, before)) = 0 // pads the record to 8 bytes, again
		}
	} else if state&stateTimed == 0 {
		record.end = uint64(nanotime())
	}
	s.live = 0
	s.valid = 0
	s.leave(at, state)
	s.state = state & stateSampled // for emit
}

// emit sends the record to the ring, or counts it, and frees the entry. The caller is pinned to P number.
//
//go:norace
func (s *Span) emit(number int) {
	if number < len(processors) {
		s.emitTo(&processors[number])
		return
	}
	if acquireShortly(&more.lock) {
		s.emitTo(more.processor)
		release(&more.lock)
		return
	}
	atomic.AddUint64(&more.ring.dropped, 1)
	s.state = 0
	(*recordLayout)(s.entry).size = 0
}

//go:norace
func (s *Span) emitTo(own *processor) {
	record := (*recordLayout)(s.entry)
	sampled := s.state&stateSampled != 0
	s.state = 0
	size := (s.used + 7) &^ 7
	if !sampled {
		if s.unheard && s.kept() {
			atomic.AddUint64(&own.ring.dropped, 1)
		}
		own.count(record.descriptor, record.status, unsafe.Add(s.entry, unsafe.Sizeof(*record)), s.used-uint32(unsafe.Sizeof(*record)), record.end-record.start)
		return
	}
	record.size = size
	if !own.publish(s.entry, uint64(size)) {
		own.countRecord(record, s.used, s.byHand)
	}
	record.size = 0
	if s.manual.table != nil {
		(*recordLayout)(s.manual.table).size = 0
	}
}

// Recording says whether attributes are kept. Spans that are not sampled still propagate and are counted.
//
//go:norace
func (s *Span) Recording() bool { return s != nil && s.state&stateSampled != 0 }

// Sampled says whether the trace is kept.
//
//go:norace
func (s *Span) Sampled() bool { return s != nil && s.traceFlags&sampledFlag != 0 }

// TraceID returns the trace's id, zero for a nil span.
//
//go:norace
func (s *Span) TraceID() (id [16]byte) {
	if s != nil {
		id = s.trace
	}
	return id
}

// SpanID returns the span's id, zero for a nil span.
//
//go:norace
func (s *Span) SpanID() (id [8]byte) {
	if s != nil {
		id = s.id
	}
	return id
}

// AppendTraceparent appends the W3C header for calls that this span makes.
//
//go:norace
func (s *Span) AppendTraceparent(to []byte) []byte {
	if s == nil {
		return to
	}
	return appendTraceparent(to, &s.trace, &s.id, s.traceFlags)
}

// Traceparent returns the W3C header for calls that this span makes; it allocates.
//
//go:norace
func (s *Span) Traceparent() string {
	if s == nil {
		return ""
	}
	return string(s.AppendTraceparent(make([]byte, 0, TraceparentSize)))
}

// Tracestate returns the W3C header for calls that this span makes.
//
//go:norace
func (s *Span) Tracestate() string {
	if s == nil {
		return ""
	}
	return s.tracestate
}
