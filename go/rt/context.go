package rt

import (
	"sync/atomic"
	"unsafe"
)

// Span is a context record and the state of a running span. It begins with the record that is found through the slot:
// the word that newproc1 sets, our flags, then the layout of OTEP 4947.
//
// Once captured, a record is never used again for another span. One that was not captured is reached from its own
// goroutine only, and goes back to the free spans when it ends.
type Span struct {
	captured uint32 // not 0: held by another goroutine, a context, a struct; newproc1 stores 1
	state    uint32 // state* bits; 0: ended

	trace          [16]byte
	id             [8]byte
	valid          uint8
	traceFlags     uint8 // W3C
	attributesSize uint16

	kind    Kind
	byHand  bool  // see manual.go
	foreign uint8 // foreign* bits
	extra   uint8 // what B3 says of the trace beyond traceFlags

	home     uintptr        // the slot it was started on; 0: detached. The runtime finds it at homeOffset
	used     uint32         // bytes of the record so far
	entry    unsafe.Pointer // the record in the in-flight table; nil: given up when it ended
	live     uint64         // the span's id while it runs, else 0: says whether a pair of pointer and id still means this span
	root     *Span          // the first span of the trace in this process
	rootLive uint64         // root.live as long as root runs
	parent   *Span
	parentID uint64
	previous *Span // what the slot held before

	tracestate string
	baggage    string
	lock       uint32 // guards a captured span's record
	ownEntry   bool   // the entry lies on the heap
	unheard    bool   // sampled, but the ring was full and nobody reads: only counted
	counted    bool   // only counted, as the agent wants it; its id is the parent's, whose children its own become
	keys       uint32 // a bit for each metric key that the record has
	seed       uint64 // the first half of its trace id, should it begin a trace
	connection uint32 // named by Uses: its descriptor, and 1
	panics     uint32 // of a function's span: those that the goroutine was in when it began
	account    account
	manual     manual
}

// homeOffset is where tandem_enter looks for Span.home; the array has no other length.
const homeOffset = 40

var _ [homeOffset]struct{} = [unsafe.Offsetof(Span{}.home)]struct{}{}

const (
	stateLive       = 1 << iota // has not ended; metric keys are kept
	stateSampled                // all attributes are kept
	stateKernel                 // account has a kernel half
	stateMeasured               // account was taken
	statePreviousOn             // the account was on before
	stateShared                 // other goroutines can find the record although it is not captured; see Share
	stateTimed                  // the program has said when it ended
	stateTwin                   // the span stands for a woven operation too; see StandFor
)

// rootFlags are those of traces that begin here, besides sampled. Ours are random; but many readers of headers take one
// that says so for damaged (OpenTelemetry's own for Go did until 1.42), so that it must be asked for.
var rootFlags uint8

// muted is in the slot while Tandem itself is at work: nothing is traced.
var muted Span

// ContextKey asks a context.Context for the span it carries: ctx.Value(ContextKey).(*Span).
var ContextKey any = new(contextKey)

type contextKey struct{ _ byte }

// FromContext returns the span that a context carries, or nil.
func FromContext(ctx interface{ Value(any) any }) *Span {
	if ctx == nil {
		return nil
	}
	span, _ := ctx.Value(ContextKey).(*Span)
	return span
}

// Current returns what the goroutine's slot holds, if a span started now would be its child; else nil.
//
//go:norace
func Current() *Span {
	span := (*Span)(here().context)
	if span == nil || !span.isParent() {
		return nil
	}
	return span
}

// Capture marks the record as held elsewhere: in a context, a struct, another goroutine. It is then never reused.
//
//go:norace
func (s *Span) Capture() *Span {
	if s != nil {
		atomic.StoreUint32(&s.captured, 1)
	}
	return s
}

// Closest returns the span whose child a span started now would be, given what the context.Context carries: see
// chooseParent. It is nil when that would be a root.
//
//go:norace
func Closest(explicit *Span) *Span {
	current := (*Span)(here().context)
	if current == &muted {
		return nil
	}
	parent, _ := chooseParent(explicit, current)
	return parent
}

// LocalRoot returns the span through which the current trace came into this process, if it runs and is of that kind: for
// hooks that learn something about it, such as the route. It is nil when that span cannot safely be written to from here.
//
//go:norace
func LocalRoot(kind Kind) *Span {
	at := here()
	current := (*Span)(at.context)
	if current == nil || !current.rootRuns() {
		return nil
	}
	root := current.root
	if root.kind != kind {
		return nil
	}
	if root.home != uintptr(unsafe.Pointer(at)) && (!root.Share() || !current.rootRuns()) {
		return nil
	}
	return root
}

// Share captures a span that another goroutine may be ending right now. It returns false when the record is already
// going back. True says only that the record is not reused from here on: afterwards the caller must look again whether
// what told it of the span still does, or it may have captured the record's next span (which does no harm).
//
//go:norace
func (s *Span) Share() bool {
	if s == nil || s.captured == 1 {
		return s != nil
	}
	return s.state&stateShared != 0 && atomic.CompareAndSwapUint32(&s.captured, 0, 1)
}

// Withdraw is for a span's owner, before End: true says that nobody holds the record and nobody can capture it any more;
// the owner must drop its own references, as the record is reused after End.
//
//go:norace
func (s *Span) Withdraw() bool {
	return s != nil && here().context == unsafe.Pointer(s) && atomic.CompareAndSwapUint32(&s.captured, 0, closed)
}

// Home says whether the span was started on this goroutine and is current here.
//
//go:norace
func (s *Span) Home() bool {
	at := here()
	return s != nil && s.home == uintptr(unsafe.Pointer(at)) && at.context == unsafe.Pointer(s)
}

// Ended stands for a span that has ended, for contexts that outlive it: as a parent, and to be asked for its ids.
func Ended(traceID [16]byte, spanID [8]byte, sampled bool) *Span {
	span := &Span{captured: 1, trace: traceID, id: spanID}
	if sampled {
		span.traceFlags = sampledFlag
	}
	return span
}

// Resume makes a span current on this goroutine: for workers that know whose job they do. Undo it with Restore.
//
//go:norace
func Resume(s *Span) (previous *Span) {
	at := here()
	previous = (*Span)(at.context)
	at.context = unsafe.Pointer(s.Capture())
	if labelling {
		at.relabel()
	}
	return previous
}

// Carry returns what a goroutine that is started here would have, given what the context.Context carries: for work that
// others are going to do later, who Resume it.
//
//go:norace
func Carry(explicit *Span) *Span {
	current := (*Span)(here().context)
	if current != &muted {
		if parent, _ := chooseParent(explicit, current); parent != nil {
			current = parent
		}
	}
	return current.Capture()
}

// Restore puts back what Resume, Unset or Ignore returned.
//
//go:norace
func Restore(previous *Span) {
	at := here()
	at.context = unsafe.Pointer(previous)
	if labelling {
		at.relabel()
	}
}

// Unset empties the slot, so that goroutines started next inherit nothing. Undo it with Restore.
//
//go:norace
func Unset() (previous *Span) {
	at := here()
	previous = (*Span)(at.context)
	at.context = nil
	if labelling {
		at.relabel()
	}
	return previous
}

// Detach empties the slot for good: for the first line of goroutines that libraries start for themselves.
//
//go:norace
func Detach() {
	at := here()
	at.context, at.on = nil, 0
	if labelling {
		at.relabel()
	}
}

// Ignore mutes this goroutine, and those it starts, until Restore.
//
//go:norace
func Ignore() (previous *Span) {
	at := here()
	previous = (*Span)(at.context)
	at.context = unsafe.Pointer(&muted)
	return previous
}

// Muted says whether the goroutine is muted.
//
//go:norace
func Muted() bool { return here().context == unsafe.Pointer(&muted) }

// isParent says whether what the slot holds is a parent for new spans: it runs itself (its local root may have ended
// before it, where work outlives its request), or its local root runs, for so long is valid what a goroutine has inherited.
//
//go:norace
func (s *Span) isParent() bool { return s.live != 0 || s.rootRuns() }

// rootRuns says whether the span's local root has not ended.
//
//go:norace
func (s *Span) rootRuns() bool { return s.root != nil && s.root.live == s.rootLive }

//go:norace
func (s *Span) number() uint64 { return *(*uint64)(unsafe.Pointer(&s.id)) }

// chooseParent decides whose child a new span is. Explicit beats slot; but where the slot's span runs and descends from
// the explicit one, it is the closer of the two. What was made by hand is passed over: had the program meant that, it would
// have said so with its context. A slot whose local root has ended gives a link instead of a parent.
//
//go:norace
func chooseParent(explicit, current *Span) (parent, link *Span) {
	if explicit != nil {
		inner := current
		if inner != nil && inner.byHand {
			inner = inner.nearestWoven()
		}
		if explicit != inner && inner != nil && inner.live != 0 && inner.descendsFrom(explicit) {
			return inner, nil
		}
		return explicit, nil
	}
	if current == nil {
		return nil, nil
	}
	if current.isParent() {
		return current, nil
	}
	return nil, current
}

// descendsFrom walks pairs of pointer and id, so that a record which was reused ends the walk. The ancestor may be another
// record with the same id: what a program makes of a header, for instance.
//
//go:norace
func (s *Span) descendsFrom(ancestor *Span) bool {
	wanted := ancestor.number()
	for depth := 0; depth < 64; depth++ {
		next, id := s.parent, s.parentID
		if id == wanted {
			return true
		}
		if next == nil || next.number() != id {
			return false
		}
		s = next
	}
	return false
}

// inherit makes s a child of parent.
//
//go:norace
func (s *Span) inherit(parent *Span) {
	s.trace = parent.trace
	s.traceFlags, s.foreign, s.extra = parent.traceFlags, parent.foreign, parent.extra
	s.tracestate, s.baggage = parent.tracestate, parent.baggage
	s.parent, s.parentID = parent, parent.number()
	if parent.rootRuns() {
		s.root, s.rootLive = parent.root, parent.rootLive
	} else {
		s.root = s
	}
}

// newTrace makes s the root of a new trace.
//
//go:norace
func (s *Span) newTrace() {
	trace := (*[2]uint64)(unsafe.Pointer(&s.trace))
	// The second half is random, as W3C wants it of the last 7 bytes and as samplers need it. The first is the next of a
	// sequence that begins at random on each P: as unique as a random number, and 10 ns cheaper.
	trace[0], trace[1] = s.seed, rand()
	for trace[0] == 0 { // also the first span's id is made from it
		trace[0] = rand()
	}
	s.traceFlags, s.foreign, s.extra = rootFlags, 0, 0
	s.tracestate, s.baggage = "", ""
	if rule := rootRule(); randomness(&s.trace) >= rule.threshold {
		s.traceFlags |= sampledFlag
		s.tracestate = rule.state
	}
	s.parent, s.parentID = nil, 0
	s.root = s
}

// continueTrace makes s the local root of a trace that began elsewhere.
//
//go:norace
func (s *Span) continueTrace(remote *parent, tracestate string) {
	s.trace = remote.trace
	s.foreign = 0
	s.traceFlags = remote.flags & randomFlag // what else may be there does not travel on
	s.extra = remote.extra & b3Debug
	s.baggage = ""
	if tracestate == "" && ownSampler.followParent && remote.extra&b3Deferred == 0 { // nearly always
		s.traceFlags |= remote.flags & sampledFlag
		s.tracestate = ""
	} else {
		s.sampleRemote(remote, tracestate)
	}
	s.parent, s.parentID = nil, *(*uint64)(unsafe.Pointer(&remote.span))
	s.root = s
}

//go:norace
//go:noinline
func (s *Span) sampleRemote(remote *parent, tracestate string) {
	kept, state := ownSampler.continued(remote, tracestate, rootRule())
	if kept {
		s.traceFlags |= sampledFlag
	}
	s.tracestate = state
}

// enter makes s current on the goroutine. The goroutine's account is kept only for spans that show it.
//
//go:norace
func (s *Span) enter(at *slot) {
	s.previous = (*Span)(at.context)
	s.home = uintptr(unsafe.Pointer(at))
	if s.state&stateSampled != 0 {
		s.state |= stateMeasured
		if at.on != 0 {
			s.state |= statePreviousOn
		}
		at.activate()
		(*recordLayout)(s.entry).account = at.index
		if s.account.look(at) {
			s.state |= stateKernel
		}
	}
	at.context = unsafe.Pointer(s)
	if labelling {
		at.relabel()
	}
}

// leave gives the slot back what it held before, if s is still current here.
//
//go:norace
func (s *Span) leave(at *slot, state uint32) {
	if at.context != unsafe.Pointer(s) {
		s.previous = s.stillRunning()
		return
	}
	at.context = unsafe.Pointer(s.stillRunning())
	s.previous = nil
	if labelling {
		at.relabel()
	}
	if state&(stateMeasured|statePreviousOn) == stateMeasured {
		at.on = 0
	}
}

// stillRunning returns the nearest of the spans before s that did not end before their children did.
//
//go:norace
func (s *Span) stillRunning() *Span {
	previous := s.previous
	for previous != nil && previous.live == 0 && previous.home == s.home && previous != &muted {
		previous = previous.previous
	}
	return previous
}
