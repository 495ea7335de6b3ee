package trace

import (
	"context"
	"time"

	tandem_rt "tandem/rt"
)

// Spans that an SDK makes, configured by the program. The SDK keeps its providers, processors, exporters and sampling; Tandem
// records each of its spans as well, with the ids that the SDK gave it, so that both see one trace with the same parents.

// TandemPlan is what is known of a span before the SDK has made it.
type TandemPlan struct {
	parent *tandem_rt.Span // nil: a root
	twin   *tandem_rt.Span // the woven span that is the same operation: the SDK's gets its ids
	asked  SpanContext     // the parent that the sampler would see if nothing were woven
	isTold bool            // asked is not what the context says
	isOn   bool
}

// TandemPrepare corrects the parent and the ids of a span that an SDK is about to make in ctx. The parent is the woven span
// where that is closer than what the context says.
func TandemPrepare(ctx context.Context, scope, name string, config *SpanConfig, parent *SpanContext, trace *TraceID, id *SpanID) (plan TandemPlan) {
	if !tandem_rt.Enabled() || tandem_rt.Muted() {
		return plan
	}
	plan.isOn = true
	if config.NewRoot() || tandemIsRoot(ctx) {
		return plan
	}
	closest := tandem_rt.ManualParent(tandem_rt.FromContext(ctx))
	if closest == nil {
		return plan
	}
	plan.parent = closest
	sampled, known, remote := closest.Decision()
	same := tandemSameOf(scope)
	if parent.SpanID() != closest.SpanID() {
		*trace, *parent = closest.TraceID(), tandemIDs(closest)
	}
	switch is := same.is(ValidateSpanKind(config.SpanKind()), name, closest); {
	case is && same.isDetail(name):
		plan.twin = closest.Keep()
	case is && closest.Adopt():
		plan.twin = closest.Keep()
		*id, *parent = closest.SpanID(), tandemParentIDs(closest)
	}
	if closest.StandIn() {
		return plan
	}
	plan.isTold = true
	if known {
		var flags TraceFlags
		plan.asked = tandemSpanContext(closest.TraceID(), closest.SpanID(), flags.WithSampled(sampled), closest.Tracestate(), remote)
	}
	return plan
}

// tandemParentIDs is a span's parent.
func tandemParentIDs(span *tandem_rt.Span) SpanContext {
	id, remote := span.ParentID()
	if id == [8]byte{} {
		return SpanContext{}
	}
	return tandemSpanContext(span.TraceID(), id, TraceFlags(span.TraceFlags()), span.Tracestate(), remote)
}

// SamplerContext is the context for the SDK's sampler.
func (p *TandemPlan) SamplerContext(ctx context.Context) context.Context {
	if !p.isTold {
		return ctx
	}
	return ContextWithSpanContext(ctx, p.asked)
}

// Begin begins Tandem's record of the span, now that its ids are known.
func (p *TandemPlan) Begin(tracer *TandemTracer, ids SpanContext, name string, config *SpanConfig) *TandemSpan {
	if !p.isOn {
		return nil
	}
	kind := ValidateSpanKind(config.SpanKind())
	if p.twin != nil {
		mirror := &TandemSpan{tracer: tracer}
		p.twin.Decide(ids.IsSampled())
		mirror.show(p.twin)
		return mirror
	}
	trace, id, when := ids.TraceID(), ids.SpanID(), config.Timestamp()
	span := tandem_rt.StartMirror(tracer.operation(kind), p.parent, (*[16]byte)(&trace), (*[8]byte)(&id), ids.IsSampled(), !when.IsZero())
	if span == nil {
		return nil
	}
	mirror := &TandemSpan{tracer: tracer, isOwn: true}
	mirror.show(span)
	tracer.same.stand(span, kind)
	span.Rename(name)
	if !when.IsZero() {
		span.StartedAt(when.UnixNano(), int64(time.Since(when)))
	}
	return mirror
}

// TandemRename gives the record the name that the span has at its end; see tandem_same.go for whose name it is.
func (s *TandemSpan) TandemRename(name string, kind SpanKind) {
	if s.isOwn || kind == SpanKindServer {
		s.SetName(name)
	}
}

// Describe sets what an SDK that does not record the span was told at its start.
func (s *TandemSpan) Describe(config *SpanConfig) {
	if s == nil {
		return
	}
	s.SetAttributes(config.Attributes()...)
	if span := s.running(); span.Recording() {
		var room [tandemRoom]byte
		span.Append(tandemLinks(room[:0], config.Links()))
	}
}
