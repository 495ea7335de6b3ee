package internal

import (
	"context"

	"go.temporal.io/sdk/converter"
	tandem_messaging "tandem/messaging"
	tandem_rt "tandem/rt"
)

// This file makes the spans of a client's calls. They lie around the program's own interceptors.

var (
	tandemStarting  = tandem_rt.NewOp("temporal.start", tandemScope, tandem_rt.KindProducer, tandemName)
	tandemSignaling = tandem_rt.NewOp("temporal.signal", tandemScope, tandem_rt.KindProducer, tandemName)
	tandemQuerying  = tandem_rt.NewOp("temporal.query", tandemScope, tandem_rt.KindClient, tandemName)
	tandemUpdating  = tandem_rt.NewOp("temporal.update", tandemScope, tandem_rt.KindClient, tandemName)
	tandemStopping  = tandem_rt.NewOp("temporal.stop", tandemScope, tandem_rt.KindClient, tandemName)
)

// tandemClient stands before the first of a client's interceptors.
type tandemClient struct{ next ClientOutboundInterceptor }

// tandemSend begins the span of a call about a workflow.
func tandemSend(op *tandem_rt.Op, ctx context.Context, operation, name, workflow, run, queue string) *tandem_rt.Span {
	if !op.On() {
		return nil
	}
	span := tandem_rt.Start(op, tandem_rt.FromContext(ctx))
	tandem_messaging.Describe(span, tandemSystem, operation, tandem_messaging.Send, queue)
	tandemSay(span, tandemType, name)
	tandemSay(span, tandemWorkflowID, workflow)
	tandemSay(span, tandemRunID, run)
	return span
}

func (c tandemClient) ExecuteWorkflow(ctx context.Context, in *ClientExecuteWorkflowInput) (run WorkflowRun, err error) {
	span := tandemSend(tandemStarting, ctx, "StartWorkflow", in.WorkflowType, in.Options.ID, "", in.Options.TaskQueue)
	defer tandemEnd(span, &err)
	return c.next.ExecuteWorkflow(ctx, in)
}

func (c tandemClient) SignalWithStartWorkflow(ctx context.Context, in *ClientSignalWithStartWorkflowInput) (run WorkflowRun, err error) {
	span := tandemSend(tandemStarting, ctx, "SignalWithStartWorkflow", in.WorkflowType, in.Options.ID, "", in.Options.TaskQueue)
	defer tandemEnd(span, &err)
	return c.next.SignalWithStartWorkflow(ctx, in)
}

func (c tandemClient) SignalWorkflow(ctx context.Context, in *ClientSignalWorkflowInput) (err error) {
	span := tandemSend(tandemSignaling, ctx, "SignalWorkflow", in.SignalName, in.WorkflowID, in.RunID, "")
	defer tandemEnd(span, &err)
	return c.next.SignalWorkflow(ctx, in)
}

func (c tandemClient) QueryWorkflow(ctx context.Context, in *ClientQueryWorkflowInput) (value converter.EncodedValue, err error) {
	span := tandemSend(tandemQuerying, ctx, "QueryWorkflow", in.QueryType, in.WorkflowID, in.RunID, "")
	defer tandemEnd(span, &err)
	return c.next.QueryWorkflow(ctx, in)
}

func (c tandemClient) UpdateWorkflow(ctx context.Context, in *ClientUpdateWorkflowInput) (handle WorkflowUpdateHandle, err error) {
	span := tandemSend(tandemUpdating, ctx, "UpdateWorkflow", in.UpdateName, in.WorkflowID, in.RunID, "")
	tandemSay(span, tandemUpdateID, in.UpdateID)
	defer tandemEnd(span, &err)
	return c.next.UpdateWorkflow(ctx, in)
}

func (c tandemClient) CancelWorkflow(ctx context.Context, in *ClientCancelWorkflowInput) (err error) {
	span := tandemSend(tandemStopping, ctx, "CancelWorkflow", "", in.WorkflowID, in.RunID, "")
	defer tandemEnd(span, &err)
	return c.next.CancelWorkflow(ctx, in)
}

func (c tandemClient) TerminateWorkflow(ctx context.Context, in *ClientTerminateWorkflowInput) (err error) {
	span := tandemSend(tandemStopping, ctx, "TerminateWorkflow", "", in.WorkflowID, in.RunID, "")
	defer tandemEnd(span, &err)
	return c.next.TerminateWorkflow(ctx, in)
}
