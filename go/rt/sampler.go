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

// rootRule is how to decide on a trace that begins here.
//
//go:norace
func rootRule() *rule {
	if atomic.LoadUint32(&control.flags)&controlSampling == 0 {
		return &ownSampler.rule
	}
	threshold := atomic.LoadUint64(&control.samplingThreshold)
	if known := (*rule)(atomic.LoadPointer(&agentRule)); known != nil && known.threshold == threshold {
		return known
	}
	return newAgentRule(threshold)
}

// newAgentRule is called when the agent has changed its mind.
//
//go:noinline
func newAgentRule(threshold uint64) *rule {
	made := &rule{threshold: threshold}
	if threshold < neverSample {
		made.probability, made.state = true, thresholdState(threshold)
	}
	atomic.StorePointer(&agentRule, unsafe.Pointer(made))
	return made
}
