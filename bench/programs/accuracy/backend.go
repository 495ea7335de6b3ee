package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// backend serves what the front calls: a leaf over HTTP, and one gRPC method for each request there will be, so that the
// method's name tells them apart.
func backend(requests int) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /leaf", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL.RawQuery) })
	plain, calls := listen(), listen()
	server := grpc.NewServer()
	server.RegisterService(leaf(requests), struct{}{})
	go func() { log.Fatal(server.Serve(calls)) }()
	fmt.Println(plain.Addr(), calls.Addr())
	log.Fatal(http.Serve(plain, mux))
}

func leaf(requests int) *grpc.ServiceDesc {
	service := &grpc.ServiceDesc{ServiceName: leafService, HandlerType: (*any)(nil)}
	for id := range requests {
		service.Methods = append(service.Methods, grpc.MethodDesc{MethodName: leafMethod(id), Handler: nothingToDo})
	}
	return service
}

func nothingToDo(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(emptypb.Empty)
	return in, decode(in)
}

const leafService = "accuracy.Leaf"

func leafMethod(id int) string { return fmt.Sprintf("Request%d", id) }

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return listener
}
