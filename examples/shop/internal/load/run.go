package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// requestTimeout is more than the gateway lets anybody wait.
const requestTimeout = 30 * time.Second

// Options bound the load. At least one of Requests and Duration must be positive.
type Options struct {
	Gateway     string        // host:port.
	Requests    int           // How many requests, 0 for no limit.
	Duration    time.Duration // For how long to start requests, 0 for no limit.
	Rate        float64       // Requests started a second, 0 for as fast as they are answered.
	Concurrency int           // Customers at a time.
	Seed        uint64        // The same seed plays the same customers.
}

// Run plays customers until a bound is reached or the context ends. A request
// that was started is always awaited and counted.
func Run(ctx context.Context, options Options) *Report {
	start := time.Now()
	report := newReport(options.Seed)
	if options.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, options.Duration)
		defer cancel()
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = options.Concurrency
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: requestTimeout}

	customers := make(chan []step)
	pace := newPace(options.Rate)
	var playing sync.WaitGroup
	for range options.Concurrency {
		playing.Go(func() {
			for steps := range customers {
				c := customer{client: client, base: "http://" + options.Gateway, report: report}
				c.play(ctx, pace, steps)
			}
		})
	}
	send(ctx, customers, options)
	playing.Wait()
	report.Seconds = time.Since(start).Seconds()
	return report
}

// send plans customers whose requests add up to the number wanted: the last one
// is cut short.
func send(ctx context.Context, customers chan<- []step, options Options) {
	defer close(customers)
	planner := newPlanner(options.Seed)
	for planned := 0; options.Requests == 0 || planned < options.Requests; {
		steps := planner.next()
		if options.Requests > 0 {
			steps = steps[:min(len(steps), options.Requests-planned)]
		}
		select {
		case customers <- steps:
			planned += len(steps)
		case <-ctx.Done():
			return
		}
	}
}

// customer does one step after the other and remembers the order it placed.
type customer struct {
	client *http.Client
	base   string
	report *Report
	order  string
}

func (c *customer) play(ctx context.Context, pace *pace, steps []step) {
	for _, step := range steps {
		if !pace.wait(ctx) {
			return
		}
		start := time.Now()
		got, err := c.do(context.WithoutCancel(ctx), step)
		c.report.add(step, got, time.Since(start), err == nil)
		if err != nil {
			slog.ErrorContext(ctx, "unexpected", "request", step.method+" "+step.path, "error", err)
			return // What this customer does next would build on it.
		}
	}
}

// do returns the status, 0 when there was no answer, and an error unless it is
// the one wanted.
func (c *customer) do(ctx context.Context, step step) (status int, err error) {
	body, err := json.Marshal(step.body)
	if err != nil {
		return 0, err
	}
	path := strings.Replace(step.path, orderID, c.order, 1)
	request, err := http.NewRequestWithContext(ctx, step.method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if step.body == nil {
		request.Body, request.ContentLength = http.NoBody, 0
	}
	response, err := c.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, err
	}
	if response.StatusCode != step.want {
		return response.StatusCode, fmt.Errorf("status %d instead of %d: %s", response.StatusCode, step.want, answer)
	}
	return response.StatusCode, c.remember(step, answer)
}

// remember notes the order that a checkout placed.
func (c *customer) remember(step step, answer []byte) error {
	if step.route != "/checkout" || step.want != http.StatusCreated {
		return nil
	}
	var order struct{ ID string }
	if err := json.Unmarshal(answer, &order); err != nil {
		return err
	}
	c.order = order.ID
	return nil
}
