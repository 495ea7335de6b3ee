// Shop is each of the shop's services (examples/shop), instrumented by hand with the OpenTelemetry SDK: what it serves and
// whom it calls, by HTTP and gRPC. Which one it is says the name that it is started by; spans go where
// OTEL_EXPORTER_OTLP_ENDPOINT says.
package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"

	"example.com/shop/internal/gateway"
	"example.com/shop/internal/inventory"
	"example.com/shop/internal/inventoryapi"
	"example.com/shop/internal/orders"
	pb "example.com/shop/internal/ordersv1"
	"example.com/shop/internal/service"
	"example.com/shop/internal/web"
	"example.com/shop/internal/worker"
	"example.com/shop/internal/workerapi"
)

func main() {
	name := filepath.Base(os.Args[0])
	run := map[string]func(context.Context) error{
		"gateway":   runGateway,
		"orders":    runOrders,
		"inventory": runInventory,
		"worker":    runWorker,
	}[name]
	service.Main(service.NewFlags(name), func(ctx context.Context) error {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return err
		}
		provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
		defer provider.Shutdown(context.WithoutCancel(ctx))
		otel.SetTracerProvider(provider)
		otel.SetTextMapPropagator(propagation.TraceContext{})
		return run(ctx)
	})
}

// around instruments clients of HTTP.
func around(transport http.RoundTripper) http.RoundTripper { return otelhttp.NewTransport(transport) }

// served instruments servers of HTTP.
func served(handler http.Handler) http.Handler { return otelhttp.NewHandler(handler, "served") }

// called instruments clients of gRPC.
var called = grpc.WithStatsHandler(otelgrpc.NewClientHandler())

func addr(service string) string { return os.Getenv("SHOP_" + service + "_ADDR") }

func runGateway(ctx context.Context) error {
	client, conn, err := pb.Dial(addr("ORDERS"), called)
	if err != nil {
		return err
	}
	defer conn.Close()
	handler := gateway.NewHandler(ctx, inventoryapi.NewClient(addr("INVENTORY"), around), client, nil)
	return web.Serve(ctx, addr("GATEWAY"), served(handler))
}

func runOrders(ctx context.Context) error {
	store, err := orders.OpenStore(ctx, "", os.Getenv("SHOP_DATA_DIR"))
	if err != nil {
		return err
	}
	defer store.Close()
	server := orders.NewServer(store, inventoryapi.NewClient(addr("INVENTORY"), around), workerapi.NewClient(addr("WORKER"), around))
	return orders.Serve(ctx, addr("ORDERS"), server, grpc.StatsHandler(otelgrpc.NewServerHandler()))
}

func runInventory(ctx context.Context) error {
	store, err := inventory.OpenStore(ctx, "", os.Getenv("SHOP_DATA_DIR"))
	if err != nil {
		return err
	}
	defer store.Close()
	return web.Serve(ctx, addr("INVENTORY"), served(inventory.NewHandler(ctx, store)))
}

func runWorker(ctx context.Context) error {
	client, conn, err := pb.Dial(addr("ORDERS"), called)
	if err != nil {
		return err
	}
	defer conn.Close()
	w, err := worker.New(client, filepath.Join(os.Getenv("SHOP_DATA_DIR"), "invoices"), 4, 256)
	if err != nil {
		return err
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(ctx)
	var sweeper sync.WaitGroup
	sweeper.Go(func() { w.Sweep(ctx, 3*time.Second) })
	defer sweeper.Wait()
	defer cancel()
	return web.Serve(ctx, addr("WORKER"), served(w.Handler()))
}
