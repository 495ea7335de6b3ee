package rt

import (
	"sync/atomic"
	"unsafe"
)

// Spans that the program makes by hand, through an API of its own choice, and what it says of spans that are woven. They are
// spans like all others, with these differences:
//
//   - their parent is what the program's context says. The slot counts only where it holds a woven span: two spans that were
//     started one after the other from the same context are siblings, although the first is current when the second starts;
//   - many may never end, or end on another goroutine: they do not pile up on the slot;
//   - their records may outgrow the entry (RECORD_LIMIT), at the price of an allocation.

// manual is what a Span has for that.
type manual struct {
	used    bool           // anything here is set, or the span was made by hand
	remote  bool           // stands for a span of another process
	adopted bool           // see Adopt
	twin    uint32         // the operation that this span stands for: it gets no span of its own below this one
	table   unsafe.Pointer // the entry that the record has outgrown
	room    uint32         // bytes of the record, where it has

	attributes, events, links uint32 // as many were set by hand
	dropped                   [3]uint32
}

const (
	// foreignApart: of the sampled flag and what is recorded, one says yes, the other no.
	foreignApart = sampledFlag
	// foreignDecided: the sampled flag is the program's own tracer's.
	foreignDecided = 2
)

// kept says whether the trace is recorded, as far as we decide that.
//
//go:norace
func (s *Span) kept() bool { return (s.traceFlags^s.foreign)&sampledFlag != 0 }

// NewManualOp registers the operation of a tracer and a kind; equal ones are one. Where the table is full the operation is
// nil, as if it were switched off.
func NewManualOp(scope, version, schema string, kind Kind) *Op {
	if memory == nil {
		return nil
	}
	procPin() // who waits for the lock spins
	acquire(&registering)
	defer procUnpin()
	defer release(&registering)
	var wanted descriptorLayout
	wanted.kind, wanted.flags = uint8(kind), descriptorApi
	wanted.idSize = uint8(copy(wanted.id[:], "api"))
	wanted.scopeSize = uint8(copy(wanted.scope[:], scope))
	size := copy(wanted.name[:], version)
	if size < len(wanted.name) {
		wanted.name[size] = '\n'
		size++
	}
	wanted.nameSize = uint8(size + copy(wanted.name[size:], schema))
	count := control.descriptorCount
	index := uint32(1)
	for ; index <= count; index++ {
		if *descriptorAt(index) == wanted {
			return &Op{id: index, kind: kind, bit: 1 << (index % 64), word: &control.disabled[index/64]}
		}
	}
	if index >= descriptorCount {
		atomic.AddUint64(&control.lostNames, 1)
		return nil
	}
	*descriptorAt(index) = wanted
	atomic.StoreUint32(&control.descriptorCount, index)
	return &Op{id: index, kind: kind, bit: 1 << (index % 64), word: &control.disabled[index/64]}
}

func descriptorAt(index uint32) *descriptorLayout {
	return (*descriptorLayout)(unsafe.Add(memory, descriptorsAt+uintptr(index)*unsafe.Sizeof(descriptorLayout{})))
}

// OpNumber returns the number of a woven operation, or 0.
func OpNumber(id string) uint32 {
	if memory == nil {
		return 0
	}
	for index := uint32(1); index <= atomic.LoadUint32(&control.descriptorCount); index++ {
		if descriptor := descriptorAt(index); string(descriptor.id[:descriptor.idSize]) == id {
			return index
		}
	}
	return 0
}

// OpID returns the id of a running span's operation: "net/http.server". Of spans that were made by hand it is "api".
//
//go:norace
func (s *Span) OpID() string {
	how := s.open(stateLive)
	if how == shut {
		return ""
	}
	index := (*recordLayout)(s.entry).descriptor
	s.close(how)
	if index == 0 || index >= descriptorCount {
		return ""
	}
	descriptor := descriptorAt(index)
	return unsafe.String(&descriptor.id[0], int(descriptor.idSize))
}

// Enabled says whether there is any recording in this process.
func Enabled() bool { return memory != nil }

// ManualParent returns the span whose child one that is made by hand now would be, given what the context carries.
//
//go:norace
func ManualParent(explicit *Span) *Span {
	current := (*Span)(here().context)
	if current == &muted {
		return nil
	}
	return manualParent(explicit, current)
}

//go:norace
func manualParent(explicit, current *Span) *Span {
	if explicit != nil {
		parent, _ := chooseParent(explicit, current)
		return parent
	}
	if current == nil {
		return nil
	}
	if current.byHand {
		current = current.nearestWoven()
	}
	if current == nil || !current.isParent() {
		return nil
	}
	return current
}

// nearestWoven returns the span itself or that of its ancestors which is the next one that was not made by hand.
//
//go:norace
func (s *Span) nearestWoven() *Span {
	for depth := 0; s != nil && s.byHand; depth++ {
		next := s.parent
		if next == nil || next.number() != s.parentID || depth == 64 {
			return nil
		}
		s = next
	}
	return s
}

// StartManual begins a span that is made by hand, and makes it current where it can. With timed its start is going to be
// given, so that what its goroutine does meanwhile says nothing.
//
//go:norace
func StartManual(op *Op, explicit *Span, root, timed bool) *Span {
	if op == nil || !op.On() {
		return nil
	}
	at := here()
	if at.context == unsafe.Pointer(&muted) {
		return nil
	}
	current := at.settle()
	var parent *Span
	if !root {
		parent = manualParent(explicit, current)
	}
	span := takeSpan()
	if parent != nil {
		span.inherit(parent)
	} else {
		span.newTrace()
	}
	span.prepare(op)
	span.enterManual(at, parent, timed)
	span.begin(nil)
	return span
}

// StartMirror begins the record of a span that a tracer of the program's own has made and given its ids. sampled is that
// tracer's decision, which travels on; what is recorded we decide.
//
//go:norace
func StartMirror(op *Op, parent *Span, traceID *[16]byte, spanID *[8]byte, sampled, timed bool) *Span {
	if op == nil || !op.On() {
		return nil
	}
	at := here()
	if at.context == unsafe.Pointer(&muted) {
		return nil
	}
	at.settle()
	span := takeSpan()
	if parent != nil {
		span.inherit(parent)
	} else {
		span.newTrace()
		span.trace = *traceID
		span.traceFlags &^= sampledFlag
		span.tracestate = "" // a threshold of ours says nothing of that tracer's decision
		if randomness(traceID) >= rootRule().threshold {
			span.traceFlags |= sampledFlag
		}
	}
	kept := span.kept()
	span.foreign = foreignDecided
	span.traceFlags &^= sampledFlag
	if sampled {
		span.traceFlags |= sampledFlag
	}
	if kept != sampled {
		span.foreign |= foreignApart
	}
	span.prepare(op)
	span.setID(spanID)
	span.enterManual(at, parent, timed)
	span.begin(nil)
	return span
}

// setID replaces the id of a span that nobody has seen.
//
//go:norace
func (s *Span) setID(id *[8]byte) {
	number := *(*uint64)(unsafe.Pointer(id))
	if s.root == s {
		s.rootLive = number
	}
	s.id, s.live = *id, number
	(*recordLayout)(s.entry).spanID = *id
}

// enterManual makes the span current, but instead of one that was made by hand and is not its parent: that one may never
// end.
//
//go:norace
func (s *Span) enterManual(at *slot, parent *Span, timed bool) {
	s.byHand, s.manual.used = true, true
	s.state |= stateShared
	if parent != nil && parent.manual.remote {
		(*recordLayout)(s.entry).flags = recordFlagRemoteParent
	}
	current := (*Span)(at.context)
	beside := current != nil && current != parent && current.byHand && current.home == uintptr(unsafe.Pointer(at))
	if timed {
		s.home, s.previous, at.context = uintptr(unsafe.Pointer(at)), current, unsafe.Pointer(s)
		if labelling {
			at.relabel()
		}
	} else {
		s.enter(at)
	}
	if !beside {
		return
	}
	s.previous = current.previous
	if current.state&stateMeasured != 0 {
		s.state = s.state&^statePreviousOn | current.state&statePreviousOn
		if current.captured == 0 {
			current.state &^= stateMeasured // nobody will know when the goroutine's account was on
		}
	}
}

// settle takes spans from the slot that were made by hand here and have ended elsewhere, and returns what it then holds.
//
//go:norace
func (s *slot) settle() *Span {
	current := (*Span)(s.context)
	for current != nil && current.byHand && current.live == 0 && current.home == uintptr(unsafe.Pointer(s)) {
		current = current.previous
	}
	s.context = unsafe.Pointer(current)
	return current
}

// Remote stands for a span that the program was told of, by a header for instance.
func Remote(traceID [16]byte, spanID [8]byte, flags uint8, tracestate string, remote bool) *Span {
	told := parent{trace: traceID, span: spanID, flags: flags}
	span := &Span{captured: 1}
	span.continueTrace(&told, tracestate)
	span.id, span.parentID, span.root = spanID, 0, nil
	span.manual.remote = remote
	return span
}

// Decision returns the sampled flag that a tracer of the program's own would find with the span if nothing were woven:
// known, when such a tracer or a caller elsewhere has decided; the latter is remote.
//
//go:norace
func (s *Span) Decision() (sampled, known, remote bool) {
	sampled = s.traceFlags&sampledFlag != 0
	if s.foreign&foreignDecided != 0 {
		return sampled, true, false
	}
	root := s.root
	remote = s.manual.remote || root != nil && root.number() == s.rootLive && root.parentID != 0
	return sampled, remote, remote
}

// Decide lets a tracer of the program's own decide what travels on from a span that it has adopted.
//
//go:norace
func (s *Span) Decide(sampled bool) {
	kept := s.kept()
	s.foreign = foreignDecided
	s.traceFlags &^= sampledFlag
	if sampled {
		s.traceFlags |= sampledFlag
	}
	if kept != sampled {
		s.foreign |= foreignApart
	}
}

// StandIn says that there is no span of this process behind it, only ids.
//
//go:norace
func (s *Span) StandIn() bool { return s.root == nil }

// TraceFlags returns the flags that travel.
//
//go:norace
func (s *Span) TraceFlags() byte { return s.traceFlags }

// ParentID returns the parent's id, and whether it is in another process; zero: a root.
//
//go:norace
func (s *Span) ParentID() (id [8]byte, remote bool) {
	*(*uint64)(unsafe.Pointer(&id)) = s.parentID
	return id, s.parentID != 0 && (s.parent == nil || s.parent.manual.remote)
}

// StandFor says that the span is the operation of that number too, which so gets no span of its own directly below it.
//
//go:norace
func (s *Span) StandFor(operation uint32) {
	if s != nil {
		s.manual.twin, s.manual.used = operation, true
		s.state |= stateTwin
	}
}

// twinOf says whether the span that is about to begin has one already: its parent, made by hand.
//
//go:norace
func (s *Span) twinOf(op *Op) bool {
	parent := s.parent
	return parent != nil && parent.state&stateTwin != 0 && parent.manual.twin == op.id && parent.live == s.parentID
}

// Adopt says that the span which runs is told about by hand, by another name for the same operation; true: the first time.
//
//go:norace
func (s *Span) Adopt() bool {
	if s == nil || s.manual.adopted {
		return false
	}
	s.manual.adopted, s.manual.used = true, true
	return true
}

// giveBack returns a span that has not begun.
//
//go:norace
func (s *Span) giveBack() {
	s.parent, s.root, s.tracestate = nil, nil, ""
	number := procPin()
	giveSpan(s, number)
	procUnpin()
}

// Mine says whether this still is the running span of that id, and makes sure that it stays so while it is used.
//
//go:norace
func (s *Span) Mine(id *[8]byte) bool {
	if s == nil {
		return false
	}
	number := *(*uint64)(unsafe.Pointer(id))
	if s.home == uintptr(unsafe.Pointer(here())) && s.captured == 0 {
		return s.live == number
	}
	return s.Share() && s.live == number
}

// Keep makes sure that the span can be used from anywhere as long as it runs.
//
//go:norace
func (s *Span) Keep() *Span {
	if s != nil && s.state&stateShared == 0 {
		s.Capture()
	}
	return s
}

// limit is where the record's room ends.
//
//go:norace
func (s *Span) limit() uint32 {
	if s.manual.table != nil {
		return s.manual.room - partsSize - 4
	}
	return hardLimit
}

// grow gives the record a place on the heap that has room for so much more. What lies in the entry so far stays there, for a
// crash to show.
//
//go:norace
func (s *Span) grow(place unsafe.Pointer, room uint32) {
	memmove(place, s.entry, uintptr(s.used))
	if s.manual.table == nil {
		s.manual.table = s.entry
	}
	s.entry, s.manual.room, s.manual.used = place, room, true
}

// shrink goes back to the entry. The record was sent.
//
//go:norace
func (s *Span) shrink() {
	if s.manual.table != nil {
		s.entry, s.manual.table = s.manual.table, nil
	}
}

// tidy makes the record ready for its next span.
//
//go:norace
func (s *Span) tidy() {
	s.shrink()
	s.manual, s.byHand = manual{}, false
}

// tellDropped says how much went beyond the limits.
//
//go:norace
//go:noinline
func (s *Span) tellDropped() {
	if s.manual.dropped == [3]uint32{} {
		return
	}
	how := s.open(stateSampled)
	if how == shut {
		return
	}
	if place := s.reserve(itemExtended, extendedDropped, 16); place != nil {
		*(*uint32)(unsafe.Add(place, -4)) = extendedDropped | (itemExtended<<12|4)<<16
		*(*uint32)(place) = 12
		*(*[3]uint32)(unsafe.Add(place, 4)) = s.manual.dropped
		s.publishSize()
	}
	s.close(how)
}

// SetStatus is for spans that the program tells about: its word for success stands.
//
//go:norace
func (s *Span) SetStatus(isError bool, message string) {
	how := s.open(stateLive)
	if how == shut {
		return
	}
	record := (*recordLayout)(s.entry)
	if record.status != statusOk {
		s.eraseKind(itemStatusMessage)
		record = (*recordLayout)(s.entry)
		record.status = statusOk
		if isError {
			record.status = statusError
			if message != "" && s.state&stateSampled != 0 {
				s.text(itemStatusMessage, 0, message)
			}
		}
	}
	s.close(how)
}

// Rename replaces the name, if there was one.
//
//go:norace
func (s *Span) Rename(name string) {
	how := s.open(stateLive)
	if how == shut {
		return
	}
	if s.state&stateSampled != 0 || s.byHand {
		s.eraseKind(itemName)
		s.text(itemName, 0, name)
	}
	s.close(how)
}

//go:norace
func (s *Span) eraseKind(kind uint32) {
	for at := recordSize; at < s.used; {
		item := unsafe.Add(s.entry, at)
		size := itemSize(item)
		if *(*uint32)(item)>>28 == kind {
			s.erase(at, size)
			return
		}
		at += size
	}
}

// StartedAt gives the span another start: unix is it, ago how long it is past.
//
//go:norace
func (s *Span) StartedAt(unix, ago int64) {
	if how := s.open(stateLive); how != shut {
		(*recordLayout)(s.entry).start = before(ago)
		s.givenTime(extendedStart, unix)
		s.close(how)
	}
}

// EndedAt gives the span another end than the moment of End, which must follow.
//
//go:norace
func (s *Span) EndedAt(unix, ago int64) {
	if how := s.open(stateLive); how != shut {
		end, start := before(ago), (*recordLayout)(s.entry).start
		if end < start {
			end = start
		}
		(*recordLayout)(s.entry).end = end
		s.state |= stateTimed
		s.givenTime(extendedEnd, unix)
		s.close(how)
	}
}

//go:norace
func before(ago int64) uint64 {
	if now := nanotime(); now > ago {
		return uint64(now - ago)
	}
	return 1
}

//go:norace
func (s *Span) givenTime(form uint32, unix int64) {
	if s.state&stateSampled == 0 {
		return
	}
	if place := s.reserve(itemExtended, Key(form), 12); place != nil {
		*(*uint32)(unsafe.Add(place, -4)) = form | (itemExtended<<12|4)<<16
		*(*uint32)(place) = 8
		*(*int64)(unsafe.Add(place, 4)) = unix
		s.publishSize()
	}
}

// Drop counts attributes of events and links that were left out. It stands for all of them in the span's own number.
//
//go:norace
func (s *Span) Drop(attributes int) {
	if how := s.open(stateSampled); how != shut {
		s.manual.dropped[0] += uint32(attributes)
		s.manual.used = true
		s.close(how)
	}
}
