// Command calling asks a grpc server, with 32 calls at once on one connection, until it is told to stop:
//
//	calling ADDRESS
//
// Each call names a trace.
// A program of its own, since tools that observe servers may not take one that has a client of grpc, too.
package main

import (
	"context"
	"log"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health_grpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: calling ADDRESS")
	}
	connection, err := grpc.NewClient("passthrough:///"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	client := health_grpc.NewHealthClient(connection)
	traced := metadata.AppendToOutgoingContext(context.Background(), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	for range 32 {
		go func() {
			for {
				if _, err := client.Check(traced, &health_grpc.HealthCheckRequest{}); err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	select {}
}
