// Package orders takes orders, charges for them and knows how far each has come.
package orders

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"example.com/shop/internal/database"
	pb "example.com/shop/internal/ordersv1"
)

const schema = `
CREATE TABLE IF NOT EXISTS orders (
	id TEXT PRIMARY KEY,
	customer TEXT NOT NULL,
	status TEXT NOT NULL,
	total_cents BIGINT NOT NULL,
	invoice TEXT NOT NULL,
	created_ms BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_by_status ON orders (status, created_ms);
CREATE TABLE IF NOT EXISTS order_lines (
	order_id TEXT NOT NULL,
	sku TEXT NOT NULL,
	quantity BIGINT NOT NULL,
	price_cents BIGINT NOT NULL,
	PRIMARY KEY (order_id, sku)
);`

// errNotFound means that there is no such order.
var errNotFound = errors.New("no such order")

// Store is the database of the orders.
type Store struct {
	db       *sql.DB
	addLine  *sql.Stmt
	getOrder *sql.Stmt
	getLines *sql.Stmt
}

// OpenStore opens the database and prepares the statements that every order needs.
func OpenStore(ctx context.Context, postgresDSN, dataDir string) (*Store, error) {
	db, err := database.Open(ctx, postgresDSN, dataDir, "orders", schema)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db}
	for _, p := range []struct {
		into  **sql.Stmt
		query string
	}{
		{&s.addLine, `INSERT INTO order_lines (order_id, sku, quantity, price_cents) VALUES ($1, $2, $3, 0)`},
		{&s.getOrder, `SELECT customer, status, total_cents, invoice FROM orders WHERE id = $1`},
		{&s.getLines, `SELECT sku, quantity, price_cents FROM order_lines WHERE order_id = $1 ORDER BY sku`},
	} {
		if *p.into, err = db.PrepareContext(ctx, p.query); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare %q: %w", p.query, err), db.Close())
		}
	}
	return s, nil
}

// Close closes the database with its statements.
func (s *Store) Close() error {
	return s.db.Close()
}

// Insert stores a new order with its lines.
func (s *Store) Insert(ctx context.Context, order *pb.Order) error {
	return database.InTx(ctx, s.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO orders (id, customer, status, total_cents, invoice, created_ms)
			VALUES ($1, $2, $3, 0, '', $4)`,
			order.Id, order.Customer, order.Status.Word(), time.Now().UnixMilli())
		if err != nil {
			return err
		}
		addLine := tx.StmtContext(ctx, s.addLine)
		for _, line := range order.Lines {
			if _, err := addLine.ExecContext(ctx, order.Id, line.Sku, line.Quantity); err != nil {
				return err
			}
		}
		return nil
	})
}

// MarkPaid stores what the order and its lines cost, and that it was paid.
func (s *Store) MarkPaid(ctx context.Context, order *pb.Order) error {
	return database.InTx(ctx, s.db, func(tx *sql.Tx) error {
		for _, line := range order.Lines {
			_, err := tx.ExecContext(ctx,
				`UPDATE order_lines SET price_cents = $1 WHERE order_id = $2 AND sku = $3`,
				line.PriceCents, order.Id, line.Sku)
			if err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx,
			`UPDATE orders SET status = $1, total_cents = $2 WHERE id = $3`,
			pb.Status_STATUS_PAID.Word(), order.TotalCents, order.Id)
		return err
	})
}

// SetStatus changes nothing but the order's status.
func (s *Store) SetStatus(ctx context.Context, id string, status pb.Status) error {
	_, err := s.db.ExecContext(ctx, `UPDATE orders SET status = $1 WHERE id = $2`, status.Word(), id)
	return err
}

// RecordInvoice gives a paid order its invoice. It returns false when the order
// is not waiting for one.
func (s *Store) RecordInvoice(ctx context.Context, id, invoice string) (bool, error) {
	result, err := s.db.ExecContext(ctx,
		`UPDATE orders SET status = $1, invoice = $2 WHERE id = $3 AND status = $4`,
		pb.Status_STATUS_INVOICED.Word(), invoice, id, pb.Status_STATUS_PAID.Word())
	if err != nil {
		return false, err
	}
	changed, err := result.RowsAffected()
	return changed == 1, err
}

// Get returns the order with its lines.
func (s *Store) Get(ctx context.Context, id string) (*pb.Order, error) {
	order := &pb.Order{Id: id}
	var status string
	err := s.getOrder.QueryRowContext(ctx, id).
		Scan(&order.Customer, &status, &order.TotalCents, &order.Invoice)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	order.Status = pb.ParseStatus(status)
	order.Lines, err = s.lines(ctx, id)
	return order, err
}

func (s *Store) lines(ctx context.Context, id string) ([]*pb.Line, error) {
	rows, err := s.getLines.QueryContext(ctx, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var lines []*pb.Line
	for rows.Next() {
		line := &pb.Line{}
		if err := rows.Scan(&line.Sku, &line.Quantity, &line.PriceCents); err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, rows.Err()
}

// Uninvoiced returns up to 100 orders that were made before then, were paid and
// have no invoice, the oldest first.
func (s *Store) Uninvoiced(ctx context.Context, before time.Time) ([]string, error) {
	rows, err := s.db.QueryContext(ctx,
		`SELECT id FROM orders WHERE status = $1 AND created_ms < $2 ORDER BY created_ms LIMIT 100`,
		pb.Status_STATUS_PAID.Word(), before.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
