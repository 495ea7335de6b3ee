package main

import (
	"context"
	"log"
	"net"

	"go.temporal.io/api/workflowservice/v1"
	temporal "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// temporalByHand makes what instruments a client.
var temporalByHand func() interceptor.ClientInterceptor

// Client and server in this process, whose figures have both spans of the gRPC call in them; by hand with what the SDK has for
// OpenTelemetry, which makes none of these.
func init() {
	more = append(more, func(with instruments) call {
		listener := bufconn.Listen(1 << 16)
		server := grpc.NewServer()
		workflowservice.RegisterWorkflowServiceServer(server, workflows{})
		go func() { log.Fatal(server.Serve(listener)) }()
		dial := grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() })
		options := temporal.Options{
			HostPort: "passthrough:///temporal.example.com:7233", Identity: "bench", Logger: silent{},
			ConnectionOptions: temporal.ConnectionOptions{DialOptions: []grpc.DialOption{dial}},
		}
		if with.byHand {
			options.Interceptors = append(options.Interceptors, temporalByHand())
		}
		client, err := temporal.NewLazyClient(options)
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "temporal", count: 250, spans: with.spans(3, 1), do: func(n int) {
			for ; n > 0; n-- {
				startWorkflow(client)
			}
		}}
	})
}

func startWorkflow(c temporal.Client) {
	if _, err := c.ExecuteWorkflow(context.Background(), temporal.StartWorkflowOptions{ID: "order-7", TaskQueue: "orders"}, "Order"); err != nil {
		log.Fatal(err)
	}
}

// workflows is a server that starts whatever it is told to.
type workflows struct {
	workflowservice.UnimplementedWorkflowServiceServer
}

func (workflows) StartWorkflowExecution(context.Context, *workflowservice.StartWorkflowExecutionRequest) (*workflowservice.StartWorkflowExecutionResponse, error) {
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "run-7", Started: true}, nil
}

func (workflows) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

// silent is a logger.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
