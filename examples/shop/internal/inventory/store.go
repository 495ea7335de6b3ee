// Package inventory knows the products, what is left of each and what was sold.
package inventory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"example.com/shop/internal/database"
	"example.com/shop/internal/inventoryapi"
)

// The sales table has no index, as tables have that were small when they were
// made: this is what makes the queries on it slow.
const schema = `
CREATE TABLE IF NOT EXISTS items (
	sku TEXT PRIMARY KEY,
	name TEXT NOT NULL,
	price_cents BIGINT NOT NULL,
	stock BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS reservations (
	order_id TEXT NOT NULL,
	sku TEXT NOT NULL,
	quantity BIGINT NOT NULL,
	PRIMARY KEY (order_id, sku)
);
CREATE TABLE IF NOT EXISTS sales (
	basket BIGINT NOT NULL,
	sku TEXT NOT NULL,
	quantity BIGINT NOT NULL
);`

// Store is the inventory's database.
type Store struct {
	db *sql.DB
}

// OpenStore opens the database and, when it is new, fills it.
func OpenStore(ctx context.Context, postgresDSN, dataDir string) (*Store, error) {
	db, err := database.Open(ctx, postgresDSN, dataDir, "inventory", schema)
	if err != nil {
		return nil, err
	}
	if err := database.InTx(ctx, db, func(tx *sql.Tx) error { return seed(ctx, tx) }); err != nil {
		return nil, errors.Join(fmt.Errorf("fill the inventory: %w", err), db.Close())
	}
	return &Store{db: db}, nil
}

// Close closes the database.
func (s *Store) Close() error {
	return s.db.Close()
}

// Items returns all items with their stock and what was sold, ordered by SKU.
func (s *Store) Items(ctx context.Context) ([]inventoryapi.Item, error) {
	return s.items(ctx, `
		SELECT i.sku, i.name, i.price_cents, i.stock, COALESCE(sold.quantity, 0)
		FROM items i
		LEFT JOIN (SELECT sku, SUM(quantity) AS quantity FROM sales GROUP BY sku) sold ON sold.sku = i.sku
		ORDER BY i.sku`)
}

// Related returns the items that lay in the same baskets as this one, those in
// most baskets first. It is slow: nothing helps it to find the baskets.
func (s *Store) Related(ctx context.Context, sku string, limit int) ([]inventoryapi.Item, error) {
	return s.items(ctx, `
		SELECT i.sku, i.name, i.price_cents, i.stock, SUM(other.quantity)
		FROM sales this
		JOIN sales other ON other.basket = this.basket AND other.sku <> this.sku
		JOIN items i ON i.sku = other.sku
		WHERE this.sku = $1
		GROUP BY i.sku, i.name, i.price_cents, i.stock
		ORDER BY COUNT(*) DESC, i.sku
		LIMIT $2`, sku, limit)
}

func (s *Store) items(ctx context.Context, query string, args ...any) ([]inventoryapi.Item, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	items := []inventoryapi.Item{}
	for rows.Next() {
		var item inventoryapi.Item
		if err := rows.Scan(&item.SKU, &item.Name, &item.PriceCents, &item.Stock, &item.Sold); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, rows.Err()
}

// Reserve takes the quantity out of the stock and returns the item's price.
func (s *Store) Reserve(ctx context.Context, sku, orderID string, quantity int64) (priceCents int64, err error) {
	err = database.InTx(ctx, s.db, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx,
			`UPDATE items SET stock = stock - $1 WHERE sku = $2 AND stock >= $3 RETURNING price_cents`,
			quantity, sku, quantity).Scan(&priceCents)
		if errors.Is(err, sql.ErrNoRows) {
			return whyNotReserved(ctx, tx, sku)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx,
			`INSERT INTO reservations (order_id, sku, quantity) VALUES ($1, $2, $3)`,
			orderID, sku, quantity)
		return err
	})
	return priceCents, err
}

func whyNotReserved(ctx context.Context, tx *sql.Tx, sku string) error {
	var stock int64
	err := tx.QueryRowContext(ctx, `SELECT stock FROM items WHERE sku = $1`, sku).Scan(&stock)
	if errors.Is(err, sql.ErrNoRows) {
		return inventoryapi.ErrNotFound
	}
	if err != nil {
		return err
	}
	return inventoryapi.ErrOutOfStock
}

// Release puts all that was reserved for the order back into the stock. It goes
// by SKU, so that two releases lock the items in the same order.
func (s *Store) Release(ctx context.Context, orderID string) error {
	return database.InTx(ctx, s.db, func(tx *sql.Tx) error {
		reserved, err := reservedFor(ctx, tx, orderID)
		if err != nil {
			return err
		}
		for _, r := range reserved {
			_, err := tx.ExecContext(ctx, `UPDATE items SET stock = stock + $1 WHERE sku = $2`, r.quantity, r.sku)
			if err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM reservations WHERE order_id = $1`, orderID)
		return err
	})
}

type reserved struct {
	sku      string
	quantity int64
}

func reservedFor(ctx context.Context, tx *sql.Tx, orderID string) ([]reserved, error) {
	rows, err := tx.QueryContext(ctx,
		`SELECT sku, quantity FROM reservations WHERE order_id = $1 ORDER BY sku`, orderID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []reserved
	for rows.Next() {
		var r reserved
		if err := rows.Scan(&r.sku, &r.quantity); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}
