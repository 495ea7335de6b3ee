package orders

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "example.com/shop/internal/ordersv1"
	"example.com/shop/internal/service"
	"example.com/shop/internal/web"
)

// Serve answers gRPC on the address until the context ends, then lets the calls
// under way finish.
func Serve(ctx context.Context, addr string, orders pb.OrdersServer, options ...grpc.ServerOption) error {
	listener, err := service.Listen(addr)
	if err != nil {
		return err
	}
	server := grpc.NewServer(options...)
	pb.RegisterOrdersServer(server, orders)
	healthpb.RegisterHealthServer(server, health.NewServer())

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	slog.InfoContext(ctx, "listening", "addr", listener.Addr().String())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	impatience := time.AfterFunc(web.ShutdownGrace, server.Stop)
	defer impatience.Stop()
	server.GracefulStop()
	return nil
}
