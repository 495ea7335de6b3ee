package launch

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"example.com/shop/internal/web"
)

const healthInterval = 20 * time.Millisecond

// awaitHealth returns when all services answer, or an error when one ends or
// the time is over.
func (s *Shop) awaitHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, service := range s.services {
		check := checkHTTP
		if service == "orders" {
			check = checkGRPC
		}
		if err := s.await(ctx, service, check); err != nil {
			return err
		}
	}
	return nil
}

func (s *Shop) await(ctx context.Context, service string, check func(ctx context.Context, addr string) error) error {
	for {
		err := check(ctx, s.Addrs[service])
		if err == nil {
			return nil
		}
		select {
		case p := <-s.exited:
			return p.unexpected()
		case <-ctx.Done():
			return fmt.Errorf("%s did not become healthy: %w", service, err)
		case <-time.After(healthInterval):
		}
	}
}

func checkHTTP(ctx context.Context, addr string) error {
	return web.NewClient(addr).Do(ctx, http.MethodGet, "/healthz", nil, nil)
}

func checkGRPC(ctx context.Context, addr string) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}
