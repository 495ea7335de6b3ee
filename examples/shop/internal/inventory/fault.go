package inventory

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"runtime/debug"
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
	if fault.Enabled(fault.GC) {
		keepMuch()
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

type kept struct {
	next *kept
	name string
}

// Much is kept, in small pieces that the collector has to look at one by one,
// and it collects far more often than usual.
var memory []*kept

func keepMuch() {
	debug.SetGCPercent(10)
	const lists, length = 1000, 1500
	for list := range lists {
		var head *kept
		for range length {
			head = &kept{next: head, name: fmt.Sprint(list)}
		}
		memory = append(memory, head)
	}
}

// makeGarbage allocates what nobody needs, for some of the products.
func makeGarbage(sku string) {
	if !fault.Hits(fault.GC, sku) {
		return
	}
	var head *kept
	for i := range 40_000 {
		head = &kept{next: head, name: sku}
		if i%64 == 0 {
			head = nil
		}
	}
}
