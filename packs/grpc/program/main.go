// A gRPC server and a client in one process talk over loopback, in all forms of calls, and each call prints a line. Woven,
// each line is one client span and, where a server was reached, one server span below it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

// echo is written against the descriptors themselves, so that the program needs no generated code.
type echo struct{ failures int }

func (e *echo) unary(ctx context.Context, in *text) (*text, error) {
	switch in.Value {
	case "missing":
		return nil, status.Error(codes.NotFound, "no such thing")
	case "broken":
		return nil, errors.New("broke")
	case "slow":
		<-ctx.Done() // by the deadline here or by the caller's leaving: who is first is chance
		return nil, status.FromContextError(context.DeadlineExceeded).Err()
	case "flaky":
		if e.failures++; e.failures <= 2 {
			return nil, status.Error(codes.Unavailable, "try again")
		}
	case "who":
		incoming, _ := metadata.FromIncomingContext(ctx)
		return &text{Value: strings.Join(incoming["traceparent"], " ") + " " + strings.Join(incoming["tracestate"], " ")}, nil
	}
	return in, nil
}

func (e *echo) stream(stream grpc.ServerStream) error {
	for {
		in := new(text)
		if err := stream.RecvMsg(in); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if in.Value == "missing" {
			return status.Error(codes.NotFound, "no such thing")
		}
		if err := stream.SendMsg(in); err != nil {
			return err
		}
	}
}

func (e *echo) list(stream grpc.ServerStream) error {
	in := new(text)
	if err := stream.RecvMsg(in); err != nil {
		return err
	}
	for i := 0; i < 3; i++ {
		if err := stream.SendMsg(in); err != nil {
			return err
		}
	}
	return nil
}

func (e *echo) collect(stream grpc.ServerStream) error {
	var all []string
	for {
		in := new(text)
		if err := stream.RecvMsg(in); err == io.EOF {
			return stream.SendMsg(&text{Value: strings.Join(all, " ")})
		} else if err != nil {
			return err
		}
		all = append(all, in.Value)
	}
}

var service = grpc.ServiceDesc{
	ServiceName: "echo.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Unary",
		Handler: func(server any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			in := new(text)
			if err := decode(in); err != nil {
				return nil, err
			}
			return server.(*echo).unary(ctx, in)
		},
	}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Both", ClientStreams: true, ServerStreams: true, Handler: func(s any, stream grpc.ServerStream) error { return s.(*echo).stream(stream) }},
		{StreamName: "List", ServerStreams: true, Handler: func(s any, stream grpc.ServerStream) error { return s.(*echo).list(stream) }},
		{StreamName: "Collect", ClientStreams: true, Handler: func(s any, stream grpc.ServerStream) error { return s.(*echo).collect(stream) }},
	},
}

const retries = `{"methodConfig": [{"name": [{"service": "echo.Echo"}], "retryPolicy": {
	"maxAttempts": 4, "initialBackoff": "0.001s", "maxBackoff": "0.01s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	server.RegisterService(&service, &echo{})
	go server.Serve(listener)
	defer server.GracefulStop() // calls end a moment after their answer

	connection, err := newClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(retries))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	call := func(name, method, value string, within time.Duration) {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		out := new(text)
		err := connection.Invoke(ctx, method, &text{Value: value}, out)
		did(name, out.Value, err)
	}
	call("unary", "/echo.Echo/Unary", "hello", time.Minute)
	call("unary, headers that arrive", "/echo.Echo/Unary", "who", time.Minute)
	call("unary, not found", "/echo.Echo/Unary", "missing", time.Minute)
	call("unary, unknown error", "/echo.Echo/Unary", "broken", time.Minute)
	call("unary, deadline", "/echo.Echo/Unary", "slow", 20*time.Millisecond)
	call("unary, retried twice", "/echo.Echo/Unary", "flaky", time.Minute)
	call("unknown method", "/echo.Echo/Nothing", "x", time.Minute)

	both := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := connection.NewStream(ctx, both, "/echo.Echo/Both")
	did("both ways", exchange(stream, err, 3, "a"), err)
	stream, err = connection.NewStream(ctx, both, "/echo.Echo/Both")
	did("both ways, not found", exchange(stream, err, 1, "missing"), err)
	gone, leave := context.WithCancel(ctx)
	stream, err = connection.NewStream(gone, both, "/echo.Echo/Both")
	if err == nil {
		err = stream.SendMsg(&text{Value: "a"})
	}
	leave()
	did("both ways, cancelled", "", err)
	stream, err = connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/echo.Echo/List")
	did("server's stream", exchange(stream, err, 1, "b"), err)
	stream, err = connection.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/echo.Echo/Collect")
	did("client's stream", exchange(stream, err, 3, "c"), err)
	stream, err = connection.NewStream(gone, both, "/echo.Echo/Both")
	did("stream, cancelled before", "", err)

	// The same server behind net/http, on HTTP/2 without TLS.
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	behind, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	web := &http.Server{Handler: server, Protocols: protocols}
	go web.Serve(behind)
	defer web.Shutdown(ctx) // a request ends a moment after its answer
	second, err := newClient("dns:///"+behind.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer second.Close()
	out := new(text)
	err = second.Invoke(ctx, "/echo.Echo/Unary", &text{Value: "through net/http"}, out)
	did("unary behind net/http", out.Value, err)

	nobody, err := newClient("passthrough:///127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer nobody.Close()
	err = nobody.Invoke(ctx, "/echo.Echo/Unary", &text{}, new(text))
	did("nobody there", "", err)
}

func did(name, answer string, err error) {
	fmt.Printf("%-28s %q %v\n", name, answer, status.Code(err))
}

// exchange sends so many messages, closes, and reads until the stream ends.
func exchange(stream grpc.ClientStream, err error, count int, value string) string {
	if err != nil {
		return ""
	}
	for i := 0; i < count; i++ {
		if err := stream.SendMsg(&text{Value: value}); err != nil {
			break
		}
	}
	stream.CloseSend()
	var answers []string
	for {
		out := new(text)
		if err := stream.RecvMsg(out); err == io.EOF {
			return strings.Join(append(answers, "end"), " ")
		} else if err != nil {
			return strings.Join(append(answers, status.Code(err).String()), " ")
		}
		answers = append(answers, out.Value)
	}
}
