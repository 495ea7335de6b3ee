package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

var soon = &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumInterval: time.Millisecond, MaximumAttempts: 3}

// Order charges, waits until it may ship, notes that, and has a parcel sent.
func Order(ctx workflow.Context, name string) (string, error) {
	state := "new"
	if err := workflow.SetQueryHandler(ctx, "state", func() (string, error) { return state, nil }); err != nil {
		return "", err
	}
	err := workflow.SetUpdateHandler(ctx, "address", func(ctx workflow.Context, address string) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		return workflow.ExecuteActivity(ctx, Pack).Get(ctx, nil)
	})
	if err != nil {
		return "", err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute, RetryPolicy: soon})
	if err := workflow.ExecuteActivity(ctx, Charge, name).Get(ctx, nil); err != nil {
		return "", err
	}
	state = "charged"
	workflow.GetSignalChannel(ctx, "ship").Receive(ctx, nil)
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
	if err := workflow.ExecuteLocalActivity(local, Note).Get(ctx, nil); err != nil {
		return "", err
	}
	state = "noted"
	// Another coroutine of the same workflow.
	done := workflow.NewChannel(ctx)
	workflow.Go(ctx, func(ctx workflow.Context) {
		child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID: "parcel-of-" + workflow.GetInfo(ctx).WorkflowExecution.ID,
		})
		done.Send(ctx, workflow.ExecuteChildWorkflow(child, Parcel).Get(ctx, nil) == nil)
	})
	done.Receive(ctx, nil)
	return "shipped", nil
}

// Parcel is packed.
func Parcel(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, Pack).Get(ctx, nil)
}

// Waiting waits until it is told to go.
func Waiting(ctx workflow.Context) error {
	told := false
	err := workflow.SetUpdateHandler(ctx, "go", func(ctx workflow.Context) error {
		told = true
		return nil
	})
	if err != nil {
		return err
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		told = true
	})
	return workflow.Await(ctx, func() bool { return told })
}

// Declined ends with the error of its activity.
func Declined(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	return workflow.ExecuteActivity(ctx, Refuse).Get(ctx, nil)
}

// Count goes on as a new one until there is nothing left.
func Count(ctx workflow.Context, left int) error {
	if left > 1 {
		return workflow.NewContinueAsNewError(ctx, Count, left-1)
	}
	return nil
}

// charged says that an order was.
var charged = make(chan bool, 1)

// Charge asks somebody else, and works the second time only.
func Charge(ctx context.Context, name string) error {
	if activity.GetInfo(ctx).Attempt == 1 {
		return errors.New("no secret today")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go server.Serve(listener)
	defer server.Shutdown(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listener.Addr().String()+"/", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	io.Copy(io.Discard, response.Body)
	charged <- true
	return response.Body.Close()
}

// Note is a local activity.
func Note(context.Context) error { return nil }

// Pack packs.
func Pack(context.Context) error { return nil }

// Refuse never works.
func Refuse(context.Context) error {
	return temporal.NewApplicationError("declined", "Declined", "secret")
}
