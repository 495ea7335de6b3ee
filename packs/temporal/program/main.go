// Starts workflows of Temporal's SDK and works on them, in all ways that the pack tells apart, on the server at TEMPORAL_ADDR,
// in the namespace TEMPORAL_NAMESPACE. Each operation prints a line.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func did(operation string, err error) {
	text := "done"
	if err != nil {
		text = "failed"
	}
	fmt.Printf("%-28s %s\n", operation, text)
}

const queue = "orders"

func main() {
	address := os.Getenv("TEMPORAL_ADDR")
	if address == "" {
		log.Fatal("TEMPORAL_ADDR is not set")
	}
	c, err := client.Dial(client.Options{HostPort: address, Namespace: os.Getenv("TEMPORAL_NAMESPACE"), Identity: "shop", Logger: quiet{}})
	must(err)
	stop := work(c)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	order(ctx, c)
	failures(ctx, c)
	continued(ctx, c)
	request(c)
	stop = replayed(ctx, c, stop)
	both(ctx, c)
	stop()
	c.Close()
}

// work starts a worker, and returns what stops it.
func work(c client.Client) func() {
	w := worker.New(c, queue, worker.Options{WorkerStopTimeout: 10 * time.Second})
	for _, each := range []any{Order, Parcel, Waiting, Declined, Count} {
		w.RegisterWorkflow(each)
	}
	for _, each := range []any{Charge, Note, Refuse, Pack} {
		w.RegisterActivity(each)
	}
	must(w.Start())
	return w.Stop
}

func start(ctx context.Context, c client.Client, id string, what any, args ...any) client.WorkflowRun {
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: queue}, what, args...)
	must(err)
	return run
}

// order is a workflow with everything: activities, one of them tried twice, a local one, a child, a signal, a question, an update.
func order(ctx context.Context, c client.Client) {
	run := start(ctx, c, "order-1", Order, "secret")
	<-charged
	did("signal", c.SignalWorkflow(ctx, "order-1", "", "ship", "secret"))
	did("order", run.Get(ctx, nil))
	_, err := c.QueryWorkflow(ctx, "order-1", "", "state")
	did("query of one that has ended", err)
}

func failures(ctx context.Context, c client.Client) {
	did("declined", start(ctx, c, "declined-1", Declined).Get(ctx, nil))
	cancelled := start(ctx, c, "waiting-1", Waiting)
	did("cancel", c.CancelWorkflow(ctx, "waiting-1", ""))
	did("cancelled", cancelled.Get(ctx, nil))
	terminated := start(ctx, c, "waiting-2", Waiting)
	did("terminate", c.TerminateWorkflow(ctx, "waiting-2", "", "secret"))
	did("terminated", terminated.Get(ctx, nil))
	did("signal to nobody", c.SignalWorkflow(ctx, "nobody", "", "ship", "secret"))
	_, err := c.QueryWorkflow(ctx, "nobody", "", "state")
	did("question to nobody", err)
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "order-3"}, Order, "secret")
	did("start without a queue", err)
}

func continued(ctx context.Context, c client.Client) {
	did("continued as new", start(ctx, c, "count-1", Count, 2).Get(ctx, nil))
}

// request starts a workflow while it serves a request.
func request(c client.Client) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		must(start(r.Context(), c, "parcel-1", Parcel).Get(r.Context(), nil))
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	must(server.Shutdown(context.Background()))
}

// replayed has one worker begin a workflow and another one end it, which has to replay it first; then its history is replayed
// once more, for nothing.
func replayed(ctx context.Context, c client.Client, stop func()) func() {
	run := start(ctx, c, "order-2", Order, "secret")
	<-charged
	stop()
	worker.PurgeStickyWorkflowCache()
	stop = work(c)
	did("update", update(ctx, c, "order-2"))
	value, err := c.QueryWorkflow(ctx, "order-2", "", "state")
	must(err)
	var state string
	must(value.Get(&state))
	fmt.Println("state:", state)
	did("signal", c.SignalWorkflow(ctx, "order-2", "", "ship", "secret"))
	did("order, by two workers", run.Get(ctx, nil))
	history := &historypb.History{}
	iterator := c.GetWorkflowHistory(ctx, "order-2", "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for iterator.HasNext() {
		event, err := iterator.Next()
		must(err)
		history.Events = append(history.Events, event)
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflow(Order)
	did("replay", replayer.ReplayWorkflowHistoryWithOptions(quiet{}, history, worker.ReplayWorkflowHistoryOptions{
		OriginalExecution: workflow.Execution{ID: "order-2", RunID: run.GetRunID()},
	}))
	return stop
}

// both starts and signals in one.
func both(ctx context.Context, c client.Client) {
	run, err := c.SignalWithStartWorkflow(ctx, "waiting-3", "go", "secret", client.StartWorkflowOptions{TaskQueue: queue}, Waiting)
	must(err)
	did("signal with start", run.Get(ctx, nil))
	did("update with start", updateWithStart(ctx, c, "waiting-4"))
}

// quiet is a logger.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
