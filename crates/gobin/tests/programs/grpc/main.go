// What observers look for in grpc: a server, and a client with and without a stream. Built by tests, never run.
package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func handle(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
	return nil, status.Error(codes.NotFound, "no")
}

func main() {
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "s",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "m", Handler: handle}},
	}, struct{}{})
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		panic(err)
	}
	go server.Serve(listener)
	client, err := grpc.Dial(listener.Addr().String(), grpc.WithInsecure())
	if err != nil {
		panic(err)
	}
	fmt.Println(client.Invoke(context.Background(), "/s/m", nil, nil))
	fmt.Println(client.NewStream(context.Background(), &grpc.StreamDesc{ClientStreams: true}, "/s/m"))
}
