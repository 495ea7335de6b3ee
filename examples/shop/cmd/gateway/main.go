// Gateway is the service that customers talk to.
package main

import (
	"context"

	"example.com/shop/internal/gateway"
	"example.com/shop/internal/inventoryapi"
	pb "example.com/shop/internal/ordersv1"
	"example.com/shop/internal/pricingapi"
	"example.com/shop/internal/service"
	"example.com/shop/internal/web"
)

func main() {
	flags := service.NewFlags("gateway")
	addr := flags.Env("addr", "SHOP_GATEWAY_ADDR", "127.0.0.1:8080", "address to listen on")
	orders := flags.Env("orders", "SHOP_ORDERS_ADDR", "127.0.0.1:8081", "address of the orders service")
	inventory := flags.Env("inventory", "SHOP_INVENTORY_ADDR", "127.0.0.1:8082", "address of the inventory")
	pricing := flags.Env("pricing", "SHOP_PRICING_ADDR", "", "address of the pricing service, if there is one")

	service.Main(flags, func(ctx context.Context) error {
		client, conn, err := pb.Dial(*orders)
		if err != nil {
			return err
		}
		defer conn.Close()
		var prices *pricingapi.Client
		if *pricing != "" {
			prices = pricingapi.NewClient(*pricing)
		}
		handler := gateway.NewHandler(ctx, inventoryapi.NewClient(*inventory), client, prices)
		return web.Serve(ctx, *addr, handler)
	})
}
