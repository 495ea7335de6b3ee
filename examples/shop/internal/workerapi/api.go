// Package workerapi is the worker service as its callers see it.
package workerapi

import (
	"context"
	"net/http"

	"example.com/shop/internal/web"
)

// Job asks for the invoice of one paid order.
type Job struct {
	OrderID string `json:"order_id"`
}

// Client calls the worker service.
type Client struct {
	web *web.Client
}

// NewClient returns a client of the worker service at host:port.
func NewClient(addr string, wraps ...web.Wrap) *Client {
	return &Client{web: web.NewClient(addr, wraps...)}
}

// Submit hands the job over; the worker has only queued it when this returns.
func (c *Client) Submit(ctx context.Context, job Job) error {
	return c.web.Do(ctx, http.MethodPost, "/jobs", job, nil)
}
