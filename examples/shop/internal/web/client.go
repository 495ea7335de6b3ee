package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Client calls one service of the shop.
type Client struct {
	base string
	http *http.Client
}

// StatusError is an answer other than 2xx.
type StatusError struct {
	Status  int
	Message string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("status %d: %s", e.Status, e.Message)
}

// Wrap puts something around what sends requests.
type Wrap func(http.RoundTripper) http.RoundTripper

// NewClient returns a client of the service at host:port.
func NewClient(addr string, wraps ...Wrap) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64 // All requests go to one host; the default keeps 2.
	var wrapped http.RoundTripper = transport
	for _, wrap := range wraps {
		wrapped = wrap(wrapped)
	}
	return &Client{
		base: "http://" + addr,
		http: &http.Client{Transport: wrapped, Timeout: 10 * time.Second},
	}
}

// Do sends in as JSON, unless it is nil, and reads the answer into out, unless
// that is nil. An answer other than 2xx is a *StatusError.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return decode(response, out)
}

func decode(response *http.Response, out any) error {
	// A body that was read to its end lets the connection be used again.
	defer io.Copy(io.Discard, response.Body)
	if response.StatusCode/100 != 2 {
		var p problem
		_ = json.NewDecoder(response.Body).Decode(&p) // Not ours: the status must do.
		return &StatusError{Status: response.StatusCode, Message: p.Error}
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(out)
}
