// Package worker makes the invoices of paid orders, some at a time.
package worker

import (
	"context"
	"errors"
	"sync"
)

// ErrBusy means that the backlog is full.
var ErrBusy = errors.New("the backlog is full")

// Pool is a fixed number of goroutines that work off a backlog of orders.
type Pool struct {
	backlog chan task
	workers sync.WaitGroup
}

// task carries the context of the request that asked for it: the work belongs
// to that request, though it goes on after its end.
type task struct {
	ctx     context.Context
	orderID string
}

// NewPool starts the goroutines. Close stops them.
func NewPool(workers, backlog int, handle func(ctx context.Context, orderID string)) *Pool {
	p := &Pool{backlog: make(chan task, backlog)}
	for range workers {
		p.workers.Go(func() {
			for t := range p.backlog {
				handle(t.ctx, t.orderID)
			}
		})
	}
	return p
}

// Submit adds the order to the backlog or fails with ErrBusy; it never waits.
// The context's values go with the order, its cancellation does not.
func (p *Pool) Submit(ctx context.Context, orderID string) error {
	select {
	case p.backlog <- task{context.WithoutCancel(ctx), orderID}:
		return nil
	default:
		return ErrBusy
	}
}

// Close works off the backlog, then stops. Nothing may be submitted any more.
func (p *Pool) Close() {
	close(p.backlog)
	p.workers.Wait()
}
