package main

import (
	"context"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // the SDK registers it too, and each call advertises it by a header
	"google.golang.org/grpc/health"
	health_grpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"
)

// unary is a unary call, client and server in this process.
func unary(with instruments) call {
	listener := bufconn.Listen(1 << 16)
	serveHealth(listener, with)
	dial := grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() })
	connection, err := grpc.NewClient("passthrough:///health.example.com:8080",
		append([]grpc.DialOption{dial, grpc.WithTransportCredentials(insecure.NewCredentials())}, with.client...)...)
	if err != nil {
		log.Fatal(err)
	}
	client := health_grpc.NewHealthClient(connection)
	return call{name: "grpc", count: 500, spans: 2, do: func(n int) {
		for ; n > 0; n-- {
			if _, err := client.Check(context.Background(), &health_grpc.HealthCheckRequest{}); err != nil {
				log.Fatal(err)
			}
		}
	}}
}

func serveHealth(listener net.Listener, with instruments) {
	server := grpc.NewServer(with.server...)
	health_grpc.RegisterHealthServer(server, health.NewServer())
	go func() { log.Fatal(server.Serve(listener)) }()
}
