package internal

import (
	"context"

	tandem_messaging "tandem/messaging"
	tandem_rt "tandem/rt"
)

// This file makes the spans of activities, local ones too: one each time that one is tried.

var tandemTrying = tandem_rt.NewOp("temporal.activity", tandemScope, tandem_rt.KindConsumer, tandemName)

// tandemTask is the span of an activity that runs, and what was current before.
type tandemTask struct{ span, before *tandem_rt.Span }

// tandemTry begins the span of an activity. It continues the trace that its header names: of the workflow that wants it done.
func tandemTry(ctx context.Context, name string) (task tandemTask) {
	task.before = tandem_rt.Unset() // its worker is ignored
	env, _ := ctx.Value(activityEnvContextKey).(*activityEnvironment)
	if env == nil || !tandemTrying.On() {
		return task
	}
	var in tandem_rt.Incoming
	tandemCatch(&in, Header(ctx))
	span := tandem_messaging.StartProcess(tandemTrying, &in)
	task.span = span
	tandem_messaging.Describe(span, tandemSystem, "RunActivity", tandem_messaging.Process, env.taskQueue)
	span.Str(tandemType, name)
	if !span.Recording() {
		return task
	}
	tandemSay(span, tandemWorkflowID, env.workflowExecution.ID)
	tandemSay(span, tandemRunID, env.workflowExecution.RunID)
	tandemSay(span, tandemActivityID, env.activityID)
	if env.attempt > 1 {
		span.Int(tandemAttempt, int64(env.attempt))
	}
	return task
}

// tandemTried ends it.
func tandemTried(task tandemTask, result *error) {
	tandemEnd(task.span, result)
	tandem_rt.Restore(task.before)
}
