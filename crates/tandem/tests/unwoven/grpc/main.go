// Two programs that nobody has woven and that call each other by grpc. Each call is of a method of its own, whose number it
// carries on, so that whoever reads the spans knows whose child each must be.
//
//	back         serves; prints its address
//	front BACK   serves HTTP, and makes calls for each of its requests; prints its address
//
// Both read lines of standard input and end with it. The front's say how many requests it is to make for itself, how many at
// once, and which paths in turn; it answers with "done".
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// mostCalls is how many methods there are of each kind.
const mostCalls = 2048

func main() {
	input := bufio.NewScanner(os.Stdin)
	if os.Args[1] == "back" {
		fmt.Println(back())
		for input.Scan() {
		}
		return
	}
	address := front(os.Args[2])
	fmt.Println(address)
	for input.Scan() {
		var count, atOnce int
		var paths string
		fmt.Sscan(input.Text(), &count, &atOnce, &paths)
		load(address, count, atOnce, strings.Split(paths, ","))
		fmt.Println("done")
	}
}

func method(kind string, n any) string { return fmt.Sprintf("/unwoven.%s/Call%v", kind, n) }

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	return listener
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func dial(address string) *grpc.ClientConn {
	connection, err := grpc.Dial(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	return connection
}

// back serves unary calls, of which one in ten makes another call, to itself, and one in ten fails; and streams.
func back() string {
	listener := listen()
	self := dial(listener.Addr().String())
	server := grpc.NewServer()
	unary := &grpc.ServiceDesc{ServiceName: "unwoven.Unary", HandlerType: (*any)(nil)}
	inner := &grpc.ServiceDesc{ServiceName: "unwoven.Inner", HandlerType: (*any)(nil)}
	large := &grpc.ServiceDesc{ServiceName: "unwoven.Large", HandlerType: (*any)(nil)}
	streams := &grpc.ServiceDesc{ServiceName: "unwoven.Stream", HandlerType: (*any)(nil)}
	for n := 0; n < mostCalls; n++ {
		n := n
		serve := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			message := new(emptypb.Empty)
			if err := decode(message); err != nil {
				return nil, err
			}
			switch n % 10 {
			case 3:
				return nil, status.Errorf(codes.NotFound, "there is no %d", n)
			case 7:
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				if err := self.Invoke(ctx, method("Inner", n), message, new(emptypb.Empty)); err != nil {
					return nil, err
				}
			}
			return message, nil
		}
		leaf := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			message := new(emptypb.Empty)
			return message, decode(message)
		}
		same := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			message := new(wrapperspb.BytesValue)
			return message, decode(message)
		}
		name := fmt.Sprintf("Call%d", n)
		large.Methods = append(large.Methods, grpc.MethodDesc{MethodName: name, Handler: same})
		unary.Methods = append(unary.Methods, grpc.MethodDesc{MethodName: name, Handler: serve})
		inner.Methods = append(inner.Methods, grpc.MethodDesc{MethodName: name, Handler: leaf})
		streams.Streams = append(streams.Streams, grpc.StreamDesc{StreamName: name, Handler: echo, ServerStreams: true, ClientStreams: true})
	}
	for _, service := range []*grpc.ServiceDesc{unary, inner, large, streams} {
		server.RegisterService(service, struct{}{})
	}
	go server.Serve(listener)
	return listener.Addr().String()
}

func echo(_ any, stream grpc.ServerStream) error {
	for {
		message := new(emptypb.Empty)
		switch err := stream.RecvMsg(message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
}

// front makes, for each of its requests, calls by one connection.
func front(back string) string {
	connection, refused := dial(back), dial(unused())
	intercepted, err := grpc.Dial(back, append(interceptors, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	check(err)
	var fresh *grpc.ClientConn
	var first sync.Once
	mux := http.NewServeMux()
	invoke := func(connection *grpc.ClientConn, ctx context.Context, method string) error {
		return connection.Invoke(ctx, method, new(emptypb.Empty), new(emptypb.Empty))
	}
	type key struct{}
	jobs := make(chan func())
	for i := 0; i < 8; i++ {
		go func() {
			for job := range jobs {
				job()
			}
		}()
	}
	answer := func(w http.ResponseWriter, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
	for path, handle := range map[string]func(ctx context.Context, n string) error{
		"unary": func(ctx context.Context, n string) error { return invoke(connection, ctx, method("Unary", n)) },
		// On a goroutine that serves everybody: the context tells.
		"pool": func(ctx context.Context, n string) error {
			done := make(chan error)
			jobs <- func() {
				done <- invoke(connection, context.WithValue(ctx, key{}, n), method("Unary", n))
			}
			return <-done
		},
		"stream": func(ctx context.Context, n string) error {
			stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method("Stream", n))
			if err != nil {
				return err
			}
			for i := 0; i < 3; i++ {
				if err := stream.SendMsg(new(emptypb.Empty)); err != nil {
					return err
				}
				if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
					return err
				}
			}
			if err := stream.CloseSend(); err != nil {
				return err
			}
			if err := stream.RecvMsg(new(emptypb.Empty)); !errors.Is(err, io.EOF) {
				return errors.Join(errors.New("no end"), err)
			}
			return nil
		},
		// By a connection that is made when it is first needed.
		"large": func(ctx context.Context, n string) error {
			first.Do(func() { fresh = dial(back) })
			sent := wrapperspb.Bytes(bytes.Repeat([]byte(n+"."), 70_000))
			received := new(wrapperspb.BytesValue)
			if err := fresh.Invoke(ctx, method("Large", n), sent, received); err != nil {
				return err
			}
			if !bytes.Equal(sent.Value, received.Value) {
				panic("the message has changed on its way")
			}
			return nil
		},
		"fresh": func(ctx context.Context, n string) error {
			first.Do(func() { fresh = dial(back) })
			return invoke(fresh, metadata.AppendToOutgoingContext(ctx, "number", n), method("Unary", n))
		},
		// It names a trace of its own.
		"own": func(ctx context.Context, n string) error {
			traceparent := fmt.Sprintf("00-%032s-%016s-01", "a"+n, "b"+n)
			return invoke(connection, metadata.AppendToOutgoingContext(ctx, "traceparent", traceparent), method("Unary", n))
		},
		"nowhere": func(ctx context.Context, n string) error { return invoke(refused, ctx, method("Unary", n)) },
		"unknown": func(ctx context.Context, n string) error { return invoke(connection, ctx, method("Unknown", n)) },
		"twice":   func(ctx context.Context, n string) error { return invoke(intercepted, ctx, method("Inner", n)) },
		"late": func(ctx context.Context, n string) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return invoke(connection, ctx, method("Unary", n))
		},
	} {
		handle := handle
		mux.HandleFunc("/"+path, func(w http.ResponseWriter, r *http.Request) {
			answer(w, handle(r.Context(), r.URL.RawQuery))
		})
	}
	listener := listen()
	go http.Serve(listener, mux)
	return listener.Addr().String()
}

// unused is an address at which nobody listens.
func unused() string {
	listener := listen()
	defer listener.Close()
	return listener.Addr().String()
}

// load makes requests without net/http, which would make spans of them.
func load(address string, count, atOnce int, paths []string) {
	var wait sync.WaitGroup
	for worker := 0; worker < atOnce; worker++ {
		wait.Add(1)
		go func(worker int) {
			defer wait.Done()
			connection, err := net.Dial("tcp", address)
			check(err)
			defer connection.Close()
			reader := bufio.NewReader(connection)
			for n := worker; n < count; n += atOnce {
				fmt.Fprintf(connection, "GET /%s?%d HTTP/1.1\r\nHost: front.example\r\n\r\n", paths[n%len(paths)], n)
				length := 0
				for line := ""; line != "\r\n"; {
					line, err = reader.ReadString('\n')
					check(err)
					fmt.Sscanf(line, "Content-Length: %d", &length)
				}
				_, err = io.CopyN(io.Discard, reader, int64(length))
				check(err)
			}
		}(worker)
	}
	wait.Wait()
}
