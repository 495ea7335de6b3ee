package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "example.com/shop/internal/ordersv1"
)

// maxWait is how long a customer may wait for an order to change.
const maxWait = 5 * time.Second

type cartItem struct {
	SKU      string `json:"sku" binding:"required"`
	Quantity int32  `json:"quantity" binding:"min=1,max=100"`
}

type checkoutRequest struct {
	User string `json:"user" binding:"required"`
	Card string `json:"card" binding:"required,numeric"`
}

type orderPage struct {
	ID         string      `json:"id"`
	Status     string      `json:"status"`
	TotalCents int64       `json:"total_cents"`
	Lines      []orderLine `json:"lines"`
	Invoice    string      `json:"invoice,omitempty"`
}

type orderLine struct {
	SKU        string `json:"sku"`
	Quantity   int32  `json:"quantity"`
	PriceCents int64  `json:"price_cents"`
}

func (g *gateway) addToCart(c *gin.Context) {
	var item cartItem
	if err := c.ShouldBindJSON(&item); err != nil {
		refuse(c, err.Error())
		return
	}
	if _, err := g.inventory.Item(c.Request.Context(), item.SKU); err != nil {
		fail(c, err)
		return
	}
	total := g.carts.add(c.Param("user"), map[string]int32{item.SKU: item.Quantity})
	c.JSON(http.StatusCreated, gin.H{"items": total})
}

func (g *gateway) checkout(c *gin.Context) {
	var request checkoutRequest
	if err := c.ShouldBindJSON(&request); err != nil {
		refuse(c, err.Error())
		return
	}
	makeGarbage(request.User)
	items := g.carts.take(request.User)
	if len(items) == 0 {
		refuse(c, "the cart is empty")
		return
	}
	place := &pb.PlaceOrderRequest{Customer: request.User, Card: request.Card}
	for sku, quantity := range items {
		place.Lines = append(place.Lines, &pb.Line{Sku: sku, Quantity: quantity})
	}
	order, err := g.orders.PlaceOrder(c.Request.Context(), place)
	if err != nil {
		g.carts.add(request.User, items) // The customer may try another card.
		fail(c, err)
		return
	}
	c.JSON(http.StatusCreated, page(order))
}

// getOrder answers GET /orders/:id, with ?wait=2s only when the order is final
// or that time is over.
func (g *gateway) getOrder(c *gin.Context) {
	wait, err := time.ParseDuration(c.DefaultQuery("wait", "0s"))
	if err != nil || wait < 0 || wait > maxWait {
		refuse(c, "wait must be a duration up to "+maxWait.String())
		return
	}
	ctx, id := c.Request.Context(), c.Param("id")
	var order *pb.Order
	if wait > 0 {
		order, err = g.awaitOrder(ctx, id, wait)
	} else {
		order, err = g.orders.GetOrder(ctx, &pb.GetOrderRequest{Id: id})
	}
	if err != nil {
		fail(c, err)
		return
	}
	c.JSON(http.StatusOK, page(order))
}

// awaitOrder watches the order and returns the last that was heard of it.
func (g *gateway) awaitOrder(ctx context.Context, id string, wait time.Duration) (*pb.Order, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	changes, err := g.orders.WatchOrder(ctx, &pb.WatchOrderRequest{Id: id})
	if err != nil {
		return nil, err
	}
	var last *pb.Order
	for {
		order, err := changes.Recv()
		ended := errors.Is(err, io.EOF) || status.Code(err) == codes.DeadlineExceeded
		switch {
		case err == nil:
			last = order
		case ended && last != nil:
			return last, nil
		default:
			return nil, err
		}
	}
}

func page(order *pb.Order) orderPage {
	p := orderPage{
		ID:         order.Id,
		Status:     order.Status.Word(),
		TotalCents: order.TotalCents,
		Invoice:    order.Invoice,
	}
	for _, line := range order.Lines {
		p.Lines = append(p.Lines, orderLine{line.Sku, line.Quantity, line.PriceCents})
	}
	return p
}
