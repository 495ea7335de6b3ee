// Worker is the service that makes invoices in the background.
package main

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	pb "example.com/shop/internal/ordersv1"
	"example.com/shop/internal/service"
	"example.com/shop/internal/web"
	"example.com/shop/internal/worker"
)

func main() {
	flags := service.NewFlags("worker")
	addr := flags.Env("addr", "SHOP_WORKER_ADDR", "127.0.0.1:8083", "address to listen on")
	orders := flags.Env("orders", "SHOP_ORDERS_ADDR", "127.0.0.1:8081", "address of the orders service")
	dataDir := flags.Env("data-dir", "SHOP_DATA_DIR", "data", "folder of the invoices")
	workers := flags.Int("workers", 4, "invoices made at a time")
	backlog := flags.Int("backlog", 256, "invoices that may wait")
	sweep := flags.Duration("sweep", 3*time.Second, "how often to look for orders without an invoice")

	service.Main(flags, func(ctx context.Context) error {
		client, conn, err := pb.Dial(*orders)
		if err != nil {
			return err
		}
		defer conn.Close()
		w, err := worker.New(client, filepath.Join(*dataDir, "invoices"), *workers, *backlog)
		if err != nil {
			return err
		}
		defer w.Close()

		ctx, cancel := context.WithCancel(ctx)
		var sweeper sync.WaitGroup
		sweeper.Go(func() { w.Sweep(ctx, *sweep) })
		defer sweeper.Wait()
		defer cancel()
		return web.Serve(ctx, *addr, w.Handler())
	})
}
