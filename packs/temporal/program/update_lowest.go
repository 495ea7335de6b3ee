//go:build lowest

package main

import (
	"context"

	"go.temporal.io/sdk/client"
)

func update(ctx context.Context, c client.Client, id string) error {
	handle, err := c.UpdateWorkflowWithOptions(ctx, &client.UpdateWorkflowWithOptionsRequest{
		UpdateID: "update-1", WorkflowID: id, UpdateName: "address", Args: []any{"secret"},
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, nil)
}

// updateWithStart is nothing that this version has.
func updateWithStart(context.Context, client.Client, string) error { return nil }
