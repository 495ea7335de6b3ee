// Three processes in a row, for following a trace from one to the next: a front that serves HTTP and calls gRPC, a middle
// that serves gRPC and calls HTTP, a back that serves HTTP and answers with the headers that it got. None of them knows of
// tracing.
//
//	chain back
//	chain middle ADDRESS-OF-BACK
//	chain front ADDRESS-OF-MIDDLE
//
// Each prints its address, and ends when its standard input does.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

// asks is written against the descriptors themselves, so that the program needs no generated code.
var asks = grpc.ServiceDesc{
	ServiceName: "chain.Middle",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Ask",
		Handler: func(back any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(text)
			if err := decode(in); err != nil {
				return nil, err
			}
			answer, err := get(back.(string))
			return &text{Value: answer}, err
		},
	}},
}

// get has no context: the goroutine's own has to do.
func get(address string) (string, error) {
	response, err := http.Get("http://" + address + "/back")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func back(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(r.Header) }

func front(middle *grpc.ClientConn) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := new(text)
		if err := middle.Invoke(r.Context(), "/chain.Middle/Ask", new(text), answer); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		io.WriteString(w, answer.Value)
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	switch os.Args[1] {
	case "back":
		http.HandleFunc("/back", back)
		go http.Serve(listener, nil)
	case "middle":
		server := grpc.NewServer()
		server.RegisterService(&asks, os.Args[2])
		go server.Serve(listener)
	case "front":
		middle, err := grpc.NewClient(os.Args[2], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			log.Fatal(err)
		}
		http.HandleFunc("/front", front(middle))
		go http.Serve(listener, nil)
	}
	fmt.Println("address", listener.Addr())
	io.Copy(io.Discard, os.Stdin)
}
