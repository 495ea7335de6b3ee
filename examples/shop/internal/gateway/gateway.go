// Package gateway is the HTTP API that customers see.
package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"example.com/shop/internal/inventoryapi"
	pb "example.com/shop/internal/ordersv1"
	"example.com/shop/internal/pricingapi"
)

type gateway struct {
	inventory *inventoryapi.Client
	orders    pb.OrdersClient
	pricing   *pricingapi.Client // Nil: the shop has no such service.
	carts     *carts
}

// NewHandler returns the API. What it keeps in memory is tended until the
// context ends. Pricing may be nil: then products have no price with tax.
func NewHandler(
	ctx context.Context, inventory *inventoryapi.Client, orders pb.OrdersClient, pricing *pricingapi.Client,
) http.Handler {
	g := &gateway{inventory: inventory, orders: orders, pricing: pricing, carts: newCarts()}
	go g.carts.expire(ctx)
	keepMuch()

	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(logRequests, gin.Recovery())
	router.GET("/healthz", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
	router.GET("/products", g.listProducts)
	router.GET("/products/:id", g.getProduct)
	router.POST("/cart/:user/items", g.addToCart)
	router.POST("/checkout", g.checkout)
	router.GET("/orders/:id", g.getOrder)
	return router
}

// logRequests writes one line a request, when it has been answered.
func logRequests(c *gin.Context) {
	start := time.Now()
	c.Next()
	slog.InfoContext(c.Request.Context(), "request",
		"method", c.Request.Method,
		"route", c.FullPath(),
		"status", c.Writer.Status(),
		"duration", time.Since(start))
}
