// Orders is the gRPC service that takes orders.
package main

import (
	"context"

	"example.com/shop/internal/inventoryapi"
	"example.com/shop/internal/orders"
	"example.com/shop/internal/service"
	"example.com/shop/internal/workerapi"
)

func main() {
	flags := service.NewFlags("orders")
	addr := flags.Env("addr", "SHOP_ORDERS_ADDR", "127.0.0.1:8081", "address to listen on")
	inventory := flags.Env("inventory", "SHOP_INVENTORY_ADDR", "127.0.0.1:8082", "address of the inventory")
	worker := flags.Env("worker", "SHOP_WORKER_ADDR", "127.0.0.1:8083", "address of the worker")
	dataDir := flags.Env("data-dir", "SHOP_DATA_DIR", "data", "folder of the SQLite database")
	postgres := flags.Env("postgres-dsn", "SHOP_POSTGRES_DSN", "", "use this PostgreSQL database instead")

	service.Main(flags, func(ctx context.Context) error {
		store, err := orders.OpenStore(ctx, *postgres, *dataDir)
		if err != nil {
			return err
		}
		defer store.Close()
		server := orders.NewServer(store, inventoryapi.NewClient(*inventory), workerapi.NewClient(*worker))
		return orders.Serve(ctx, *addr, server)
	})
}
