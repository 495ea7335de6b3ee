// Package pricingapi is the pricing service as its callers see it.
package pricingapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"example.com/shop/internal/web"
)

// Price is what a customer pays for one piece, with tax.
type Price struct {
	SKU        string `json:"sku"`
	GrossCents int64  `json:"gross_cents"`
}

// Client calls the pricing service.
type Client struct {
	web *web.Client
}

// NewClient returns a client of the pricing service at host:port.
func NewClient(addr string, wraps ...web.Wrap) *Client {
	return &Client{web: web.NewClient(addr, wraps...)}
}

// Price returns the price with tax of an item that costs so much without.
func (c *Client) Price(ctx context.Context, sku string, netCents int64) (Price, error) {
	var price Price
	path := "/prices/" + url.PathEscape(sku) + "?net=" + strconv.FormatInt(netCents, 10)
	err := c.web.Do(ctx, http.MethodGet, path, nil, &price)
	return price, err
}
