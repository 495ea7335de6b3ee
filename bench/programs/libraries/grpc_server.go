package main

import (
	"log"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/test/bufconn"
)

// served is a unary call that is served: its client is nothing but frames, and sends a traceparent whether the program is
// woven or not. In the call of both sides above it is we who send it, and what it costs to receive is part of the difference.
func served(with instruments) call {
	listener := bufconn.Listen(1 << 16)
	serveHealth(listener, with)
	conn, err := listener.Dial()
	if err != nil {
		log.Fatal(err)
	}
	client := newFrames(conn, make([]byte, 5), []hpack.HeaderField{ // an empty message
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/grpc.health.v1.Health/Check"},
		{Name: ":authority", Value: "health.example.com:8080"}, {Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: "grpc-go/1.83.2"}, {Name: "te", Value: "trailers"},
		{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	})
	return call{name: "grpc server", count: 500, spans: 1, decided: true, do: client.calls}
}
