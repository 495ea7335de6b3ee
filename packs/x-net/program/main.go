// A call of grpc whose server prints how its traceparent came: grpc's frames and headers are this module's. It looks at the
// wire, too, where the text stands as it is when the module is woven.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// seen is a connection that keeps what was written to it.
type seen struct {
	net.Conn
	lock  sync.Mutex
	bytes bytes.Buffer
}

func (s *seen) Write(p []byte) (int, error) {
	s.lock.Lock()
	s.bytes.Write(p)
	s.lock.Unlock()
	return s.Conn.Write(p)
}

func (s *seen) has(text string) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	return text != "" && bytes.Contains(s.bytes.Bytes(), []byte(text))
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	var came []string
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		incoming, _ := metadata.FromIncomingContext(ctx)
		came = append(came, append(incoming["traceparent"], "")[0])
		return handle(ctx, request)
	}))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)
	defer server.GracefulStop()

	var wire *seen
	connection, err := grpc.Dial(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(_ context.Context, address string) (net.Conn, error) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return nil, err
			}
			wire = &seen{Conn: conn}
			return wire, nil
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	for i := 0; i < 3; i++ {
		if _, err := grpc_health_v1.NewHealthClient(connection).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
			log.Fatal(err)
		}
	}
	for number, traceparent := range came {
		fmt.Printf("call %d: traceparent of %d letters, on the wire as it is: %v\n", number, len(traceparent), wire.has(traceparent))
	}
}
