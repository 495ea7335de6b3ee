// Inventory is the service that knows the products and their stock.
package main

import (
	"context"

	"example.com/shop/internal/inventory"
	"example.com/shop/internal/service"
	"example.com/shop/internal/web"
)

func main() {
	flags := service.NewFlags("inventory")
	addr := flags.Env("addr", "SHOP_INVENTORY_ADDR", "127.0.0.1:8082", "address to listen on")
	dataDir := flags.Env("data-dir", "SHOP_DATA_DIR", "data", "folder of the SQLite database")
	postgres := flags.Env("postgres-dsn", "SHOP_POSTGRES_DSN", "", "use this PostgreSQL database instead")

	service.Main(flags, func(ctx context.Context) error {
		store, err := inventory.OpenStore(ctx, *postgres, *dataDir)
		if err != nil {
			return err
		}
		defer store.Close()
		return web.Serve(ctx, *addr, inventory.NewHandler(ctx, store))
	})
}
