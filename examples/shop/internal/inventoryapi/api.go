// Package inventoryapi is the inventory service as its callers see it.
package inventoryapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"example.com/shop/internal/web"
)

// Item is a product with what is left of it.
type Item struct {
	SKU        string `json:"sku"`
	Name       string `json:"name"`
	PriceCents int64  `json:"price_cents"`
	Stock      int64  `json:"stock"`
	// Sold is how many were sold last quarter.
	Sold int64 `json:"sold"`
}

// Reservation sets a quantity of one item aside for an order.
type Reservation struct {
	OrderID  string `json:"order_id"`
	Quantity int64  `json:"quantity"`
}

// Reserved says what a reserved item costs.
type Reserved struct {
	PriceCents int64 `json:"price_cents"`
}

var (
	// ErrNotFound means that there is no such item.
	ErrNotFound = errors.New("no such product")
	// ErrOutOfStock means that less is left than was asked for.
	ErrOutOfStock = errors.New("out of stock")
)

// Client calls the inventory service.
type Client struct {
	web *web.Client
}

// NewClient returns a client of the inventory service at host:port.
func NewClient(addr string, wraps ...web.Wrap) *Client {
	return &Client{web: web.NewClient(addr, wraps...)}
}

// Items lists all items.
func (c *Client) Items(ctx context.Context) ([]Item, error) {
	var items []Item
	err := c.do(ctx, http.MethodGet, "/items", nil, &items)
	return items, err
}

// Item returns one item.
func (c *Client) Item(ctx context.Context, sku string) (Item, error) {
	var item Item
	err := c.do(ctx, http.MethodGet, "/items/"+url.PathEscape(sku), nil, &item)
	return item, err
}

// Related lists what customers bought together with the item, most bought first.
func (c *Client) Related(ctx context.Context, sku string, limit int) ([]Item, error) {
	var items []Item
	path := "/items/" + url.PathEscape(sku) + "/related?limit=" + strconv.Itoa(limit)
	err := c.do(ctx, http.MethodGet, path, nil, &items)
	return items, err
}

// Reserve sets a quantity of the item aside.
func (c *Client) Reserve(ctx context.Context, sku string, reservation Reservation) (Reserved, error) {
	var reserved Reserved
	path := "/items/" + url.PathEscape(sku) + "/reserve"
	err := c.do(ctx, http.MethodPost, path, reservation, &reserved)
	return reserved, err
}

// Release gives back all that was reserved for the order.
func (c *Client) Release(ctx context.Context, orderID string) error {
	return c.do(ctx, http.MethodDelete, "/reservations/"+url.PathEscape(orderID), nil, nil)
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	err := c.web.Do(ctx, method, path, in, out)
	var answer *web.StatusError
	if errors.As(err, &answer) {
		switch answer.Status {
		case http.StatusNotFound:
			return ErrNotFound
		case http.StatusConflict:
			return ErrOutOfStock
		}
	}
	return err
}
