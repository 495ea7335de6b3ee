// Served is a program that serves and calls itself by libraries other than net/http, for tests of `tandem disable --route`.
//
// It prints its process id, then asks itself for what the lines of standard input say, each a number, a library and a path,
// and answers each with a line: what was asked for. It ends when its standard input does.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"os"

	"connectrpc.com/connect"
	"github.com/valyala/fasthttp"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

// work is what serving calls.
//
//tandem:span work asked=asked
func work(ctx context.Context, asked string) string { return asked }

// Names serves net/rpc, whose methods have no context.
type Names struct{}

func (Names) Inner(_ int, answer *string) error {
	*answer = work(context.Background(), "Names.Inner")
	return nil
}

func (Names) Other(_ int, answer *string) error {
	*answer = work(context.Background(), "Names.Other")
	return nil
}

func main() {
	fast, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { fmt.Fprint(ctx, work(ctx, string(ctx.Path()))) }}
	go server.Serve(fast)

	procedures := http.NewServeMux()
	for _, procedure := range []string{"/names.Names/Inner", "/names.Names/Other"} {
		procedures.Handle(procedure, connect.NewUnaryHandler(procedure, func(ctx context.Context, _ *connect.Request[text]) (*connect.Response[text], error) {
			return connect.NewResponse(&text{Value: work(ctx, procedure)}), nil
		}))
	}
	connected := httptest.NewServer(procedures)

	check(rpc.Register(Names{}))
	near, far := net.Pipe()
	go rpc.ServeConn(far)
	calls := rpc.NewClient(near)

	fmt.Println("pid", os.Getpid())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var number int
		var library, path, answer string
		fmt.Sscan(lines.Text(), &number, &library, &path)
		switch library {
		case "fasthttp":
			_, body, err := fasthttp.Get(nil, "http://"+fast.Addr().String()+path)
			check(err)
			answer = string(body)
		case "connect":
			client := connect.NewClient[text, text](http.DefaultClient, connected.URL+path)
			response, err := client.CallUnary(context.Background(), connect.NewRequest(&text{}))
			check(err)
			answer = response.Msg.Value
		case "rpc":
			check(calls.Call(path, 0, &answer))
		}
		fmt.Println("answer", number, answer)
	}
	calls.Close()
	connected.Close()
	check(server.Shutdown())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
