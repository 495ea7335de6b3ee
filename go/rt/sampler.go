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

// toldRules are made from the control page's rules, as agentRule is.
var toldRules [ruleCount]unsafe.Pointer // *rule

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
// page: of new traces a share, of spans that there are too many of, in a share of the traces, their counts. Durations and errors stay exact.

// heed does what is said of the span's operation, before it begins.
//
//go:norace
func (s *Span) heed(op *Op) {
	if atomic.LoadUint32(&control.flags)&controlRules != 0 {
		s.follow(op)
	}
}

//go:norace
//go:noinline
func (s *Span) follow(op *Op) {
	word, place := uint64(0), 0
	for index := range control.rules {
		found := atomic.LoadUint64(&control.rules[index])
		if found == 0 || uint32(found) != op.id && uint32(found) != 0 {
			continue
		}
		word, place = found, index
		if uint32(found) != 0 {
			break
		}
	}
	if s.parentID != 0 {
		// By another byte than roots are sampled by: what is left of these has all values of it.
		share := byte(word >> 56)
		s.counted = share != 0 && s.parent != nil && (share == 0xff || s.trace[15] < share)
		return
	}
	flags := word >> 48 & 0xff
	kept, threshold := s.traceFlags&sampledFlag != 0, word>>32&0xffff<<40
	switch {
	case flags&ruleAll != 0:
		if !kept {
			s.traceFlags |= sampledFlag
			s.tracestate = ruleOf(&toldRules[place], 0).state
		}
	case kept && threshold > rootRule().threshold:
		told := ruleOf(&toldRules[place], threshold)
		if s.tracestate = told.state; randomness(&s.trace) < threshold {
			s.traceFlags &^= sampledFlag
			s.tracestate = ""
		}
	}
}

// forgetRules is for who reads the rings in place of an agent: one that was killed has not taken them back.
func forgetRules() {
	if flags := atomic.LoadUint32(&control.flags); flags&controlRules != 0 {
		atomic.CompareAndSwapUint32(&control.flags, flags, flags&^controlRules)
	}
}
