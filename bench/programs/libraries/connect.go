package main

import (
	"context"
	"log"
	"net"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

// connectByHand makes what instruments a client or a handler.
var connectByHand func() connect.Option

const (
	connectMethod  = "/greet.Greeter/Greet"
	connectMessage = "\x0a\x05hello" // in field 1
)

// Calls of one side each, whose figures have the spans of net/http in them.
func init() {
	option := func(with instruments) connect.Option {
		if with.byHand {
			return connectByHand()
		}
		return connect.WithInterceptors()
	}
	more = append(more,
		func(with instruments) call {
			mux := http.NewServeMux()
			mux.Handle(connectMethod, connect.NewUnaryHandler(connectMethod, greet, option(with)))
			request := posted(connectMethod, "application/proto", connectMessage)
			served := repeated(request, func(listener net.Listener) error { return http.Serve(listener, mux) })
			return call{name: "connect server", count: 500, spans: with.spans(2, 1), do: served}
		},
		func(with instruments) call {
			client := connect.NewClient[text, text](&http.Client{Transport: answering(answered("application/proto", connectMessage))},
				"http://127.0.0.1:8080"+connectMethod, option(with))
			return call{name: "connect client", count: 500, spans: with.spans(2, 1), do: func(n int) {
				for ; n > 0; n-- {
					if _, err := client.CallUnary(context.Background(), connect.NewRequest(&text{Value: "hello"})); err != nil {
						log.Fatal(err)
					}
				}
			}}
		})
}

func greet(_ context.Context, request *connect.Request[text]) (*connect.Response[text], error) {
	return connect.NewResponse(&text{Value: request.Msg.Value}), nil
}
