// A connect server and clients in one process talk over loopback, in all forms of calls and by all protocols, and each call
// prints a line. Woven, each line is one client span and, where a server was reached, one server span below it, with the spans
// of the HTTP request between them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

var release = make(chan bool)

func unary(ctx context.Context, in *connect.Request[text]) (*connect.Response[text], error) {
	switch in.Msg.Value {
	case "missing":
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such thing"))
	case "broken":
		return nil, errors.New("broke")
	case "slow":
		<-release // after the caller has gone
	}
	return connect.NewResponse(in.Msg), nil
}

func collect(ctx context.Context, stream *connect.ClientStream[text]) (*connect.Response[text], error) {
	var all []string
	for stream.Receive() {
		all = append(all, stream.Msg().Value)
	}
	return connect.NewResponse(&text{Value: strings.Join(all, " ")}), stream.Err()
}

func list(ctx context.Context, in *connect.Request[text], stream *connect.ServerStream[text]) error {
	for number := 0; number < 3; number++ {
		if err := stream.Send(in.Msg); err != nil {
			return err
		}
	}
	if in.Msg.Value == "missing" {
		return connect.NewError(connect.CodeNotFound, errors.New("no more"))
	}
	return nil
}

func both(ctx context.Context, stream *connect.BidiStream[text, text]) error {
	for {
		in, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.Send(in); err != nil {
			return err
		}
	}
}

func main() {
	mux := http.NewServeMux()
	mux.Handle("/echo.Echo/Unary", connect.NewUnaryHandler("/echo.Echo/Unary", unary))
	mux.Handle("/echo.Echo/Read", connect.NewUnaryHandler("/echo.Echo/Read", unary, connect.WithIdempotency(connect.IdempotencyNoSideEffects)))
	mux.Handle("/echo.Echo/Collect", connect.NewClientStreamHandler("/echo.Echo/Collect", collect))
	mux.Handle("/echo.Echo/List", connect.NewServerStreamHandler("/echo.Echo/List", list))
	mux.Handle("/echo.Echo/Both", connect.NewBidiStreamHandler("/echo.Echo/Both", both))
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()

	for _, protocol := range []struct {
		name   string
		option []connect.ClientOption
	}{{"connect", nil}, {"grpc", []connect.ClientOption{connect.WithGRPC()}}, {"grpc-web", []connect.ClientOption{connect.WithGRPCWeb()}}} {
		client := func(method string, more ...connect.ClientOption) *connect.Client[text, text] {
			return connect.NewClient[text, text](server.Client(), server.URL+"/echo.Echo/"+method, append(protocol.option, more...)...)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		call(ctx, protocol.name+" unary", client("Unary"), "hello")
		call(ctx, protocol.name+" unary, not found", client("Unary"), "missing")
		call(ctx, protocol.name+" unary, unknown error", client("Unary"), "broken")
		call(ctx, protocol.name+" unknown method", client("Nothing"), "x")
		collected(ctx, protocol.name, client("Collect"))
		listed(ctx, protocol.name, client("List"), "b")
		listed(ctx, protocol.name, client("List"), "missing")
		exchanged(ctx, protocol.name, client("Both"))
		if protocol.option == nil {
			call(ctx, "connect, by GET", client("Read", connect.WithIdempotency(connect.IdempotencyNoSideEffects), connect.WithHTTPGet()), "hello")
			short, cancel := context.WithTimeout(ctx, time.Second)
			call(short, "connect unary, deadline", client("Unary"), "slow")
			cancel()
			close(release)
			nobody := connect.NewClient[text, text](http.DefaultClient, "http://127.0.0.1:1/echo.Echo/Unary")
			call(ctx, "nobody there", nobody, "x")
		}
		cancel()
	}
}

func call(ctx context.Context, name string, client *connect.Client[text, text], value string) {
	response, err := client.CallUnary(ctx, connect.NewRequest(&text{Value: value}))
	answer := ""
	if err == nil {
		answer = response.Msg.Value
	}
	did(name, answer, err)
}

func collected(ctx context.Context, name string, client *connect.Client[text, text]) {
	stream := client.CallClientStream(ctx)
	for _, value := range []string{"a", "b", "c"} {
		if stream.Send(&text{Value: value}) != nil {
			break
		}
	}
	response, err := stream.CloseAndReceive()
	answer := ""
	if err == nil {
		answer = response.Msg.Value
	}
	did(name+" client's stream", answer, err)
}

func listed(ctx context.Context, name string, client *connect.Client[text, text], value string) {
	stream, err := client.CallServerStream(ctx, connect.NewRequest(&text{Value: value}))
	if err != nil {
		did(name+" server's stream", "", err)
		return
	}
	var all []string
	for stream.Receive() {
		all = append(all, stream.Msg().Value)
	}
	did(name+" server's stream", strings.Join(all, " "), stream.Err())
	stream.Close()
}

func exchanged(ctx context.Context, name string, client *connect.Client[text, text]) {
	stream := client.CallBidiStream(ctx)
	var all []string
	for _, value := range []string{"a", "b"} {
		if err := stream.Send(&text{Value: value}); err != nil {
			break
		}
		answer, err := stream.Receive()
		if err != nil {
			break
		}
		all = append(all, answer.Value)
	}
	stream.CloseRequest()
	_, err := stream.Receive()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	stream.CloseResponse()
	did(name+" both ways", strings.Join(all, " "), err)
}

func did(name, answer string, err error) {
	code := "ok"
	if err != nil {
		code = connect.CodeOf(err).String()
	}
	fmt.Printf("%-34s %q %s\n", name, answer, code)
}
