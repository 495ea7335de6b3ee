package asynq

import (
	"context"
	"strings"

	asynqcontext "github.com/hibiken/asynq/internal/context"

	"github.com/hibiken/asynq/internal/base"
	tandem_messaging "tandem/messaging"
	tandem_rt "tandem/rt"
)

// This file makes the spans of tasks. A task that is enqueued takes the context of its span along in its headers, where this
// version has them; whoever processes it continues that trace, each time that it is tried.

const (
	tandemScope  = "tandem/github.com/hibiken/asynq"
	tandemSystem = "asynq"
	tandemName   = "{messaging.operation.name} {asynq.task.type}|{messaging.operation.name}"
)

var (
	tandemSending    = tandem_rt.NewOp("asynq.send", tandemScope, tandem_rt.KindProducer, tandemName)
	tandemProcessing = tandem_rt.NewOp("asynq.process", tandemScope, tandem_rt.KindConsumer, tandemName)
)

var (
	tandemType    = tandem_rt.NewKey("asynq.task.type")
	tandemRetried = tandem_rt.NewKey("asynq.task.retried")
)

var tandemErrors = tandem_messaging.Errors{
	{context.Canceled, "context.Canceled"},
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
	{ErrDuplicateTask, "asynq.ErrDuplicateTask"},
	{ErrTaskIDConflict, "asynq.ErrTaskIDConflict"},
	{SkipRetry, "asynq.SkipRetry"},
}

// tandemSend begins the span of a task that is enqueued.
func tandemSend(ctx context.Context, task *Task) *tandem_rt.Span {
	if task == nil || !tandemSending.On() {
		return nil
	}
	span := tandem_rt.Start(tandemSending, tandem_rt.FromContext(ctx))
	tandem_messaging.Describe(span, tandemSystem, "enqueue", tandem_messaging.Send, "")
	span.Str(tandemType, task.Type())
	return span
}

// tandemAbout says what the task has become.
func tandemAbout(span *tandem_rt.Span, msg *base.TaskMessage) {
	span.Str(tandem_rt.KeyMessagingDestinationName, msg.Queue)
	span.Str(tandem_rt.KeyMessagingMessageID, msg.ID)
}

// tandemCarry returns a task's headers with the context of its span: the program's own map stays as it is, and what the
// program has put into it itself wins.
func tandemCarry(span *tandem_rt.Span, headers map[string]string) map[string]string {
	if span == nil {
		return headers
	}
	var out tandem_rt.Outgoing
	out.Fill(span, nil)
	for name := range headers {
		if tandem_rt.MayCarry(name) {
			out.Without(name)
		}
	}
	heads := out.Heads()
	if heads == 0 {
		return headers
	}
	carried := make(map[string]string, len(headers)+2)
	for name, value := range headers {
		carried[name] = value
	}
	for ; heads != 0; heads &= heads - 1 {
		name, value := out.Header(heads)
		carried[name.Lower] = strings.Clone(value) // it may lie in out
	}
	return carried
}

// tandemSent ends the span of a task that was enqueued, or was not.
func tandemSent(span *tandem_rt.Span, result *error) {
	if span != nil {
		tandem_messaging.End(span, *result, tandemErrors)
	}
}

// tandemProcess begins the span of a task that is processed.
func tandemProcess(ctx context.Context, task *Task, headers map[string]string) *tandem_rt.Span {
	if !tandemProcessing.On() {
		return nil
	}
	var in tandem_rt.Incoming
	for name, value := range headers {
		if tandem_rt.MayCarry(name) {
			values := [1]string{value}
			in.Catch(name, values[:])
		}
	}
	span := tandem_messaging.StartProcess(tandemProcessing, &in)
	if span == nil {
		return nil
	}
	queue, _ := asynqcontext.GetQueueName(ctx)
	tandem_messaging.Describe(span, tandemSystem, "process", tandem_messaging.Process, queue)
	span.Str(tandemType, task.Type())
	if !span.Recording() {
		return span
	}
	if id, known := asynqcontext.GetTaskID(ctx); known {
		span.Str(tandem_rt.KeyMessagingMessageID, id)
	}
	if retried, _ := asynqcontext.GetRetryCount(ctx); retried > 0 {
		span.Int(tandemRetried, int64(retried))
	}
	return span
}

// tandemProcessed ends it. The library has made an error of a panic, whose text begins with the place.
func tandemProcessed(span *tandem_rt.Span, result *error) {
	if span == nil {
		return
	}
	if err := *result; err != nil {
		tandemFailed(span, err)
		return
	}
	span.End()
}

func tandemFailed(span *tandem_rt.Span, err error) {
	defer func() {
		if recover() != nil { // Error is the program's code
			span.SetError("_OTHER", "")
			span.End()
		}
	}()
	text := strings.TrimPrefix(err.Error(), "panic error cause by: ")
	if place, value, is := strings.Cut(text, "]: "); is && strings.HasPrefix(place, "panic [") {
		span.SetError("panic", value)
		span.End()
		return
	}
	tandem_messaging.End(span, err, tandemErrors)
}

// tandemHealth, tandemAggregate and tandemAggregated call from goroutines of the server's own what is the program's, or is
// done for it.
func tandemHealth(check func(error), err error) {
	defer tandem_rt.Restore(tandem_rt.Unset())
	check(err)
}

func tandemAggregate(a GroupAggregator, group string, tasks []*Task) *Task {
	defer tandem_rt.Restore(tandem_rt.Unset())
	return a.Aggregate(group, tasks)
}

func tandemAggregated(c *Client, ctx context.Context, task *Task, queue Option) (*TaskInfo, error) {
	defer tandem_rt.Restore(tandem_rt.Unset())
	return c.EnqueueContext(ctx, task, queue)
}
