package inventory

import (
	"context"
	"database/sql"
)

// plentiful is more than any load test buys.
const plentiful = 1_000_000_000

var catalogue = []struct {
	sku        string
	name       string
	priceCents int64
	stock      int64
}{
	{"P100", "Tea kettle", 4900, plentiful},
	{"P101", "Tea pot", 3900, plentiful},
	{"P102", "Tea cup", 900, plentiful},
	{"P103", "Coffee grinder", 8900, plentiful},
	{"P104", "Coffee filter", 400, plentiful},
	{"P105", "Milk jug", 1500, plentiful},
	{"P106", "Bread knife", 2900, plentiful},
	{"P107", "Cutting board", 2400, plentiful},
	{"P108", "Frying pan", 5900, plentiful},
	{"P109", "Stock pot", 7900, plentiful},
	{"P110", "Whisk", 800, plentiful},
	{"P111", "Ladle", 1100, plentiful},
	{"P112", "Apron", 1900, plentiful},
	{"P113", "Oven glove", 1200, plentiful},
	{"P114", "Pepper mill", 3400, plentiful},
	{"P115", "Salt cellar", 1600, plentiful},
	{"P116", "Limited edition bowl", 19900, 0},
}

// The last quarter's sales: 20,000 baskets of three products each.
const seedSales = `
INSERT INTO sales (basket, sku, quantity)
WITH RECURSIVE line(n) AS (
	SELECT 0 UNION ALL SELECT n + 1 FROM line WHERE n < 59999
)
SELECT n / 3, 'P' || (100 + (n * 7919 / 13) % 17), 1 + n % 4 FROM line`

// seed fills an empty database; one that has items is left alone.
func seed(ctx context.Context, tx *sql.Tx) error {
	var items int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM items`).Scan(&items); err != nil {
		return err
	}
	if items > 0 {
		return nil
	}
	insert, err := tx.PrepareContext(ctx,
		`INSERT INTO items (sku, name, price_cents, stock) VALUES ($1, $2, $3, $4)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, item := range catalogue {
		if _, err := insert.ExecContext(ctx, item.sku, item.name, item.priceCents, item.stock); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, seedSales)
	return err
}
