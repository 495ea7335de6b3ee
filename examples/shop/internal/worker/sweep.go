package worker

import (
	"context"
	"log/slog"
	"time"

	pb "example.com/shop/internal/ordersv1"
)

// Sweep takes in, once each interval, the orders that still wait for an invoice
// after one: their job was refused, or got lost when a worker stopped.
func (w *Worker) Sweep(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := w.sweepOnce(ctx, interval); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "sweep failed", "error", err)
		}
	}
}

func (w *Worker) sweepOnce(ctx context.Context, age time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, age)
	defer cancel()
	left, err := w.orders.ListUninvoiced(ctx, &pb.ListUninvoicedRequest{
		OlderThanSeconds: int64(age.Seconds()),
	})
	if err != nil {
		return err
	}
	for i, id := range left.Ids {
		if err := w.pool.Submit(ctx, id); err != nil {
			slog.WarnContext(ctx, "sweep cut short", "left", len(left.Ids)-i)
			return nil
		}
	}
	if len(left.Ids) > 0 {
		slog.InfoContext(ctx, "swept", "orders", len(left.Ids))
	}
	return nil
}
