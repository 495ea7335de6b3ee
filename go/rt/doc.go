// Package rt records the spans of a woven program into memory that the agent reads.
//
// It lives in the shadow GOROOT as tandem/rt and imports nothing above sync/atomic, syscall and unsafe, so every
// package, also of the standard library, can call it. What always holds:
//
//   - Nothing here panics, blocks or calls out. On the hot path (start of a span, its attributes, its end) nothing is
//     allocated unless a goroutine was started inside the span.
//   - Every method works on a nil *Span, which is what Start returns for a join point that is switched off.
//   - Between procPin and procUnpin there are only loads, stores and copies.
//   - Functions that touch the slot or a context record are go:norace: the runtime, which hands them from goroutine to
//     goroutine, is not instrumented, so the race detector would see races where there are none.
//
// A span's way through the files: op.go (what it is) → sampler.go (is it recorded) → context.go (whose child it is) →
// span.go (its life) → item.go (its attributes) → entry.go (where it lies while it runs) → account.go (its anatomy) →
// ring.go (where it goes) or count.go (what it leaves when it is not recorded). Between processes it goes by propagate.go,
// which knows traceparent.go, tracestate.go, b3.go and baggage.go, as propagators.go says, and ratio.go decides on it; these
// need no woven GOROOT and are also compiled, compared and fuzzed in tests/propagation. function.go and dormant.go are for
// the user's own functions, process.go for the program as a whole, instrument.go and runtime_metrics.go for metrics that the
// program keeps itself, log.go for log records, holder.go for contexts that are kept longer than their span, manual.go and
// append.go for spans that the program makes or tells about by hand, announce.go for those that are parents before it is known
// whether they leave a record. memory_linux.go makes the memory, agent_linux.go gives
// it to the agent, share_linux.go and labels.go are for readers that are not ours, reader.go is for tandem/standalone; layout.go is generated from crates/record.
package rt
