package internal

import "context"

func (c tandemClient) UpdateWithStartWorkflow(ctx context.Context, in *ClientUpdateWithStartWorkflowInput) (handle WorkflowUpdateHandle, err error) {
	queue := ""
	if start, is := in.StartWorkflowOperation.(*withStartWorkflowOperationImpl); is && start.input != nil && start.input.Options != nil {
		queue = start.input.Options.TaskQueue
	}
	about := in.UpdateOptions
	span := tandemSend(tandemUpdating, ctx, "UpdateWithStartWorkflow", about.UpdateName, about.WorkflowID, "", queue)
	tandemSay(span, tandemUpdateID, about.UpdateID)
	defer tandemEnd(span, &err)
	return c.next.UpdateWithStartWorkflow(ctx, in)
}
