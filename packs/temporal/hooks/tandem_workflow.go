package internal

import (
	"time"

	tandem_messaging "tandem/messaging"
	tandem_rt "tandem/rt"
)

// This file makes the spans of workflows and of what they are told. A workflow's function may be called again and again, in this
// worker and in others, to replay what it has done. Its span is announced each time, with ids that come from those of the run, so
// that all activities have the same parent; its record is left once, by the worker in which the function returns and was not
// being replayed. Nothing here changes what the workflow does: it looks at no clock for it and at nothing random.

var (
	tandemRunning   = tandem_rt.NewOp("temporal.workflow", tandemScope, tandem_rt.KindConsumer, tandemName)
	tandemSignaled  = tandem_rt.NewOp("temporal.signal.handle", tandemScope, tandem_rt.KindConsumer, tandemName)
	tandemAnswering = tandem_rt.NewOp("temporal.query.handle", tandemScope, tandem_rt.KindServer, tandemName)
	tandemChanging  = tandem_rt.NewOp("temporal.update.handle", tandemScope, tandem_rt.KindServer, tandemName)
)

// tandemInbound stands before the first of a workflow's interceptors.
type tandemInbound struct{ next WorkflowInboundInterceptor }

func (i tandemInbound) ExecuteWorkflow(ctx Context, in *ExecuteWorkflowInput) (any, error) {
	tandem_rt.Unset() // for good: the goroutine is this function's, and its worker is ignored
	if !tandemRunning.On() {
		return i.next.ExecuteWorkflow(ctx, in)
	}
	info := GetWorkflowInfo(ctx)
	span := tandemAnnounce(tandemRunning, ctx, info.WorkflowExecution.RunID, "")
	tandem_rt.Resume(span)
	defer span.Forget() // also where the worker forgets the workflow, and where it panics
	result, err := i.next.ExecuteWorkflow(tandemWith(ctx, span), in)
	if !IsReplaying(ctx) {
		told := span.Tell(tandemRunning)
		tandemAbout(told, "RunWorkflow", info.WorkflowType.Name, info, info.TaskQueueName)
		if info.Attempt > 1 {
			told.Int(tandemAttempt, int64(info.Attempt))
		}
		tandemTold(told, info.WorkflowStartTime, err)
	}
	return result, err
}

func (i tandemInbound) ExecuteUpdate(ctx Context, in *UpdateInput) (any, error) {
	tandem_rt.Unset()
	update, _ := ctx.Value(updateInfoContextKey).(*UpdateInfo)
	if update == nil || !tandemChanging.On() {
		return i.next.ExecuteUpdate(ctx, in)
	}
	info, began := GetWorkflowInfo(ctx), Now(ctx)
	span := tandemAnnounce(tandemChanging, ctx, info.WorkflowExecution.RunID, update.ID)
	tandem_rt.Resume(span)
	defer span.Forget()
	result, err := i.next.ExecuteUpdate(tandemWith(ctx, span), in)
	if !IsReplaying(ctx) {
		told := span.Tell(tandemChanging)
		tandemAbout(told, "HandleUpdate", in.Name, info, "")
		tandemSay(told, tandemUpdateID, update.ID)
		tandemTold(told, began, err)
	}
	return result, err
}

func (i tandemInbound) HandleSignal(ctx Context, in *HandleSignalInput) (err error) {
	if !tandemSignaled.On() || IsReplaying(ctx) {
		return i.next.HandleSignal(ctx, in)
	}
	defer tandem_rt.Restore(tandem_rt.Unset())
	span := tandemHandle(tandemSignaled, ctx, "HandleSignal", in.SignalName)
	defer tandemEnd(span, &err)
	return i.next.HandleSignal(ctx, in)
}

func (i tandemInbound) HandleQuery(ctx Context, in *HandleQueryInput) (value any, err error) {
	if !tandemAnswering.On() {
		return i.next.HandleQuery(ctx, in)
	}
	defer tandem_rt.Restore(tandem_rt.Unset())
	span := tandemHandle(tandemAnswering, ctx, "HandleQuery", in.QueryType)
	defer tandemEnd(span, &err)
	return i.next.HandleQuery(ctx, in)
}

// tandemHandle begins the span of a message that a workflow is given. It continues the trace of whoever sent it.
func tandemHandle(op *tandem_rt.Op, ctx Context, operation, name string) *tandem_rt.Span {
	var in tandem_rt.Incoming
	tandemCatch(&in, WorkflowHeader(ctx))
	span := tandem_messaging.StartProcess(op, &in)
	tandemAbout(span, operation, name, GetWorkflowInfo(ctx), "")
	return span
}

// tandemAbout says what is done in which workflow.
func tandemAbout(span *tandem_rt.Span, operation, name string, info *WorkflowInfo, queue string) {
	tandem_messaging.Describe(span, tandemSystem, operation, tandem_messaging.Process, queue)
	span.Str(tandemType, name)
	if span.Recording() {
		tandemSay(span, tandemWorkflowID, info.WorkflowExecution.ID)
		tandemSay(span, tandemRunID, info.WorkflowExecution.RunID)
	}
}

// tandemTold ends the record of an announced span that began at that time, by the clock of Temporal's server.
func tandemTold(span *tandem_rt.Span, began time.Time, err error) {
	if span == nil {
		return
	}
	if ago := time.Since(began); ago > 0 {
		span.StartedAt(began.UnixNano(), int64(ago))
	}
	tandemEnd(span, &err)
}

// tandemWith returns a context that carries the span: for the headers of what the workflow wants done.
func tandemWith(ctx Context, span *tandem_rt.Span) Context {
	if span == nil {
		return ctx
	}
	return WithValue(ctx, tandem_rt.ContextKey, span)
}

// tandemAnnounce announces the span of a run, or of something in it. Every worker must come to the same ids.
func tandemAnnounce(op *tandem_rt.Op, ctx Context, run, part string) *tandem_rt.Span {
	var in tandem_rt.Incoming
	tandemCatch(&in, WorkflowHeader(ctx))
	return tandem_rt.Announce(op, &in, tandemTraceOf(run), tandemIDOf(run, part))
}

// tandemTraceOf is the trace of a run that nobody has told of one: the run's own id, which is a random UUID.
func tandemTraceOf(run string) (trace [16]byte) {
	digits := 0
	for at := 0; at < len(run); at++ {
		c := run[at]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			continue
		}
		if digits < 32 {
			trace[digits/2] |= c << (4 - digits%2*4)
		}
		digits++
	}
	return trace
}

// tandemIDOf is the span's id: FNV-1a of the run's id and what it is of it.
func tandemIDOf(run, part string) (id [8]byte) {
	hash := uint64(14695981039346656037)
	for _, text := range [2]string{run, part} {
		for at := 0; at < len(text); at++ {
			hash = (hash ^ uint64(text[at])) * 1099511628211
		}
	}
	for at := range id {
		id[at] = byte(hash >> (8 * at))
	}
	return id
}
