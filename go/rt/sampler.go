package rt

import (
	"sync/atomic"
	"unsafe"
)

// The head decision: by what the environment says (ratio.go), or for traces that begin here by what the agent says.

// ownSampler is the environment's.
var ownSampler = sampler{followParent: true}

// agentRule is made from the control page's threshold; nil, or of another threshold: not yet.
var agentRule unsafe.Pointer // *rule

// toldRules are made from the control page's rules, as agentRule is; toldRoutes from the table of routes.
var (
	toldRules  [ruleCount]unsafe.Pointer  // *rule
	toldRoutes [routeCount]unsafe.Pointer // *rule
)

// routes is that table, or one of our own while everything is off.
var routes = new([routeCount]routeLayout)

// rootRule is how to decide on a trace that begins here.
//
//go:norace
func rootRule() *rule {
	if atomic.LoadUint32(&control.flags)&controlSampling == 0 {
		return &ownSampler.rule
	}
	return ruleOf(&agentRule, atomic.LoadUint64(&control.samplingThreshold))
}

//go:norace
func ruleOf(kept *unsafe.Pointer, threshold uint64) *rule {
	if known := (*rule)(atomic.LoadPointer(kept)); known != nil && known.threshold == threshold {
		return known
	}
	return newRule(kept, threshold)
}

// newRule is called when the agent has changed its mind.
//
//go:noinline
func newRule(kept *unsafe.Pointer, threshold uint64) *rule {
	made := &rule{threshold: threshold}
	if threshold < neverSample {
		made.probability, made.state = true, thresholdState(threshold)
	}
	atomic.StorePointer(kept, unsafe.Pointer(made))
	return made
}

// An agent that has to stay within its budget says of operations that less of them is recorded, in one cache line of the control
// page: of new traces a share, of spans that there are too many of, in a share of the traces, their counts. Of new traces that ask for
// something it may say another share, in the table of routes. Durations and errors stay exact.

// heed does what is said of the span's operation and of what its call asks for, before it begins.
//
//go:norace
func (s *Span) heed(op *Op, path string) {
	if flags := atomic.LoadUint32(&control.flags); flags&(controlRules|controlRoutes) != 0 {
		s.follow(op, path, flags)
	}
}

//go:norace
//go:noinline
func (s *Span) follow(op *Op, path string, flags uint32) {
	var word uint64
	var told *unsafe.Pointer
	if flags&controlRules != 0 {
		word, told = op.toldRule()
	}
	if s.parentID != 0 {
		// By another byte than roots are sampled by: what is left of these has all values of it.
		share := byte(word >> 56)
		s.counted = share != 0 && s.parent != nil && (share == 0xff || s.trace[15] < share)
		return
	}
	if path != "" && flags&controlRoutes != 0 {
		if of, at := toldRoute(path); of != 0 {
			word, told = of, at
		}
	}
	if word != 0 {
		s.sampleRoot(word, told)
	}
}

// toldRule is what is said of an operation, and where the rule made of it is kept; 0: nothing.
//
//go:norace
func (op *Op) toldRule() (word uint64, told *unsafe.Pointer) {
	for index := range control.rules {
		found := atomic.LoadUint64(&control.rules[index])
		if found == 0 || uint32(found) != op.id && uint32(found) != 0 {
			continue
		}
		word, told = found, &toldRules[index]
		if uint32(found) != 0 {
			break
		}
	}
	return word, told
}

// toldRoute is toldRule for new traces that ask for this. The first entry that fits counts: who writes the table sorts it.
//
//go:norace
func toldRoute(path string) (word uint64, told *unsafe.Pointer) {
	for index := range routes {
		entry := &routes[index]
		word := atomic.LoadUint64(&entry.word)
		if word == 0 {
			break
		}
		if size := uintptr(entry.size); size <= uintptr(len(entry.pattern)) && matches(entry.pattern[:size], path) {
			return word, &toldRoutes[index]
		}
	}
	return 0, nil
}

// sampleRoot decides once more on a new trace, by what is said of it. Where that records more, or less, the tracestate says which share.
//
//go:norace
func (s *Span) sampleRoot(word uint64, told *unsafe.Pointer) {
	threshold, own := word>>32&0xffff<<40, rootRule().threshold
	switch {
	case word>>48&ruleAll != 0:
		if own > 0 {
			s.traceFlags |= sampledFlag
			s.tracestate = ruleOf(told, 0).state
		}
	case s.traceFlags&sampledFlag != 0 && threshold > own:
		s.tracestate = ruleOf(told, threshold).state
		if randomness(&s.trace) < threshold {
			s.traceFlags &^= sampledFlag
			s.tracestate = ""
		}
	}
}

// forgetRules is for who reads the rings in place of an agent: one that was killed has not taken them back.
func forgetRules() {
	if flags := atomic.LoadUint32(&control.flags); flags&(controlRules|controlRoutes) != 0 {
		atomic.CompareAndSwapUint32(&control.flags, flags, flags&^(controlRules|controlRoutes))
	}
}
