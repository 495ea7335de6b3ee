package trace

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace/embedded"
	tandem_rt "tandem/rt"
)

// TandemTracer starts spans that Tandem records. The global provider has one in each of its tracers, for as long as the
// program has not set a provider.
type TandemTracer struct {
	embedded.Tracer
	provider              TracerProvider
	name, version, schema string
	same                  tandemSame
	operations            [SpanKindConsumer + 1]atomic.Pointer[tandem_rt.Op]
}

var _ Tracer = &TandemTracer{}

// TandemProvider returns the global provider, where that is linked.
var TandemProvider func() TracerProvider

// tandemAny are for tracers that came too late for a place in the table.
var tandemAny = [SpanKindConsumer + 1]*tandem_rt.Op{
	1: tandem_rt.NewManualOp("", "", "", tandem_rt.KindInternal),
	2: tandem_rt.NewManualOp("", "", "", tandem_rt.KindServer),
	3: tandem_rt.NewManualOp("", "", "", tandem_rt.KindClient),
	4: tandem_rt.NewManualOp("", "", "", tandem_rt.KindProducer),
	5: tandem_rt.NewManualOp("", "", "", tandem_rt.KindConsumer),
}

// TandemInit gives the tracer its scope.
func (t *TandemTracer) TandemInit(provider TracerProvider, name, version, schema string) {
	t.provider, t.name, t.version, t.schema = provider, name, version, schema
	t.same = tandemSameOf(name)
}

// operation is that of the tracer's spans of one kind.
func (t *TandemTracer) operation(kind SpanKind) *tandem_rt.Op {
	if op := t.operations[kind].Load(); op != nil {
		return op
	}
	op := tandem_rt.NewManualOp(t.name, t.version, t.schema, tandem_rt.Kind(kind))
	if op == nil {
		op = tandemAny[kind]
	}
	t.operations[kind].Store(op)
	return op
}

// Start starts a span, or nothing where Tandem does not record.
func (t *TandemTracer) Start(ctx context.Context, name string, options ...SpanStartOption) (context.Context, Span) {
	if ctx, span, started := t.TandemStart(ctx, name, options); started {
		return ctx, span
	}
	return noopTracer{}.Start(ctx, name, options...)
}

// TandemStart starts a span if Tandem records.
func (t *TandemTracer) TandemStart(ctx context.Context, name string, options []SpanStartOption) (context.Context, Span, bool) {
	if ctx == nil {
		ctx = context.Background()
	}
	var config SpanConfig
	for _, option := range options {
		if _, is := option.(attributeOption); !is {
			config = option.applySpanStart(config)
		}
	}
	kind := ValidateSpanKind(config.SpanKind())
	explicit := tandem_rt.FromContext(ctx)
	isRoot := config.NewRoot() || tandemIsRoot(ctx)
	started := &TandemSpan{Context: ctx, tracer: t}
	when := config.Timestamp()
	span := t.twin(kind, name, explicit, isRoot)
	if span == nil {
		span = tandem_rt.StartManual(t.operation(kind), explicit, isRoot, !when.IsZero())
		if span == nil {
			return ctx, nil, false
		}
		started.isOwn = true
		t.same.stand(span, kind)
	}
	started.show(span)
	if started.isOwn || kind == SpanKindServer {
		span.Rename(name)
	}
	if !when.IsZero() && started.isOwn {
		span.StartedAt(when.UnixNano(), int64(time.Since(when)))
	}
	if len(options) != 0 {
		var room [tandemRoom]byte
		items := room[:0]
		for _, option := range options {
			if attributes, is := option.(attributeOption); is {
				items, _ = tandemAttributes(items, attributes, len(attributes))
			}
		}
		if links := config.Links(); len(links) != 0 && span.Recording() {
			items = tandemLinks(items, links)
		}
		span.Append(items)
	}
	return (*tandemContext)(started), started, true
}

// twin returns the woven span that is the same operation, if that is the new span's parent.
func (t *TandemTracer) twin(kind SpanKind, name string, explicit *tandem_rt.Span, isRoot bool) *tandem_rt.Span {
	if t.same == 0 || isRoot {
		return nil
	}
	parent := tandem_rt.ManualParent(explicit)
	if !t.same.is(kind, name, parent) {
		return nil
	}
	return parent.Keep()
}

// tandemTracers is the provider of those who find a woven span and know of no other.
var tandemTracers = &tandemTracerProvider{}

type tandemTracerProvider struct {
	embedded.TracerProvider
	lock    sync.Mutex
	tracers map[[3]string]*TandemTracer
}

// tandemTracerLimit bounds what is kept for names that never come again.
const tandemTracerLimit = 1024

func (p *tandemTracerProvider) Tracer(name string, options ...TracerOption) Tracer {
	config := NewTracerConfig(options...)
	key := [3]string{name, config.InstrumentationVersion(), config.SchemaURL()}
	p.lock.Lock()
	defer p.lock.Unlock()
	if tracer := p.tracers[key]; tracer != nil {
		return tracer
	}
	tracer := new(TandemTracer)
	tracer.TandemInit(p, key[0], key[1], key[2])
	if p.tracers == nil {
		p.tracers = make(map[[3]string]*TandemTracer)
	}
	if len(p.tracers) < tandemTracerLimit {
		p.tracers[key] = tracer
	}
	return tracer
}
