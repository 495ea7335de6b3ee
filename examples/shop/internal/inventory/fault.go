package inventory

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"example.com/shop/internal/database"
	"example.com/shop/internal/fault"
)

// This file is what the inventory does wrong when SHOP_FAULT asks for it.

func misbehave(ctx context.Context, h *handler) {
	fault.NowAndThen(ctx, fault.Lock, h.cache.countStock)
	fault.NowAndThen(ctx, fault.SlowQuery, h.store.reviewPrices)
	if fault.Enabled(fault.Pool) {
		h.store.db.SetMaxOpenConns(reportConns)
		fault.NowAndThen(ctx, fault.Pool, h.store.report)
	}
}

// countStock holds the lock while somebody counts.
func (c *stockCache) countStock(context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	time.Sleep(fault.For)
}

// reviewPrices changes all prices, to what they are, and thinks about it before
// it commits: whoever wants to change the stock of an item waits in the database.
func (s *Store) reviewPrices(ctx context.Context) {
	err := database.InTx(ctx, s.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE items SET price_cents = price_cents`)
		time.Sleep(fault.For)
		return err
	})
	if err != nil && ctx.Err() == nil {
		slog.WarnContext(ctx, "prices not reviewed", "error", err)
	}
}

// reportConns is all the connections that there are when a report is made.
const reportConns = 2

// report reads on all connections at once, slowly.
func (s *Store) report(ctx context.Context) {
	var conns []*sql.Conn
	for range reportConns {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			break
		}
		conns = append(conns, conn)
	}
	time.Sleep(fault.For)
	for _, conn := range conns {
		conn.Close()
	}
}
