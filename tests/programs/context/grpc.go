//go:build go1.26

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func init() {
	shapes = append(shapes,
		shape{name: "gRPC", run: unaryCalls},
		shape{name: "gRPC streams", run: callStreams},
	)
}

type text = wrapperspb.StringValue

// remote is what a call does on the server's side. It is found by the message, as handlers have no other way here.
type remote struct {
	unary  func(ctx context.Context)
	stream func(stream grpc.ServerStream)
}

func remoteOf(message *text) (*remote, error) {
	if found, ok := exchanges.LoadAndDelete(message.Value); ok {
		return found.(*remote), nil
	}
	return nil, errors.New("no such call")
}

func expect(call *remote) *text {
	number := fmt.Sprint(exchanges.number.Add(1))
	exchanges.Store(number, call)
	return &text{Value: number}
}

var service = grpc.ServiceDesc{
	ServiceName: "bed.Bed",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Unary",
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(text)
			if err := decode(in); err != nil {
				return nil, err
			}
			call, err := remoteOf(in)
			if err != nil {
				return nil, err
			}
			call.unary(ctx)
			return in, nil
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName: "Both", ClientStreams: true, ServerStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error {
			in := new(text)
			if err := stream.RecvMsg(in); err != nil {
				return err
			}
			call, err := remoteOf(in)
			if err != nil {
				return err
			}
			call.stream(stream)
			return nil
		},
	}},
}

// channel is one connection for all calls.
var channel = func() *grpc.ClientConn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := grpc.NewServer()
	server.RegisterService(&service, nil)
	go server.Serve(listener)
	made, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	return made
}()

// call makes a unary call from within the span caller.
func call(ctx context.Context, caller truth, handle func(ctx context.Context, here truth)) {
	here := below("grpc-server grpc-client", caller)
	in := expect(&remote{unary: func(ctx context.Context) { handle(ctx, here) }})
	check(channel.Invoke(ctx, "/bed.Bed/Unary", in, new(text)))
}

// Calls of many traces share a connection.
func unaryCalls(r round) {
	r.in(root, func(a truth) {
		call(background, a, func(ctx context.Context, here truth) {
			r.one(here)
			r.oneWith(ctx, here)
			r.in(here, func(b truth) {
				call(ctx, b, func(_ context.Context, there truth) { r.one(there) })
			})
			elsewhere(func() {
				r.oneWith(ctx, here)
				call(ctx, here, func(ctx context.Context, there truth) {
					on(func() { r.one(there) })
					elsewhere(func() { r.oneWith(ctx, there) })
				})
			})
		})
		r.one(a)
		on(func() {
			call(background, a, func(_ context.Context, here truth) { r.one(here) })
		})
	})
	call(background, root, func(_ context.Context, here truth) { r.one(here) })
}

// A stream's span is nobody's current one on the client's side; both sides are at work at the same time.
func callStreams(r round) {
	r.in(root, func(a truth) {
		here := below("grpc-server grpc-client", a)
		first := expect(&remote{stream: func(stream grpc.ServerStream) {
			r.one(here)
			for {
				in := new(text)
				if err := stream.RecvMsg(in); err == io.EOF {
					return
				} else {
					check(err)
				}
				r.oneWith(stream.Context(), here)
				on(func() { r.one(here) })
				check(stream.SendMsg(in))
			}
		}})
		stream, err := channel.NewStream(background, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/bed.Bed/Both")
		check(err)
		check(stream.SendMsg(first))
		r.one(a)
		for n := 0; n < 3; n++ {
			check(stream.SendMsg(first))
			r.one(a)
			check(stream.RecvMsg(new(text)))
			on(func() { r.one(a) })
		}
		check(stream.CloseSend())
		if err := stream.RecvMsg(new(text)); err != io.EOF {
			check(errors.Join(errors.New("the stream does not end"), err))
		}
		r.one(a)
	})
}
