// Every operation of pgx once on a connection and once on a pool, on the PostgreSQL that POSTGRES_DSN names, and some by
// database/sql. Each prints a line; woven, each line is exactly one client span (or none, where it says so).
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
)

func main() {
	dsn := os.Getenv("POSTGRES_DSN")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, part := range []func(context.Context, string) error{onConnection, onPool, byDatabaseSQL} {
		if err := part(ctx, dsn); err != nil {
			log.Fatal(err)
		}
	}
}

func did(operation string, err error) {
	fmt.Printf("%-34s %v\n", operation, err)
}

func onConnection(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	did("pgx.Connect, no span", err)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	did("Conn.Ping", conn.Ping(ctx))
	_, err = conn.Exec(ctx, "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, price INTEGER)")
	did("Conn.Exec", err)
	_, err = conn.Exec(ctx, "INSERT INTO products (id, name, price) VALUES (1, 'secret lamp', 1200), (2, 'chair', $1)", 4900)
	did("Conn.Exec with arguments", err)
	rows, err := conn.Query(ctx, "SELECT id, name FROM products WHERE price > 1000 -- the dear ones\nORDER BY id")
	did("Conn.Query", drain(rows, err))
	rows, err = conn.Query(ctx, "SELECT id FROM products WHERE price > $1", pgx.QueryExecModeSimpleProtocol, 1000)
	did("Conn.Query, simple protocol", drain(rows, err))
	named(ctx, conn)
	var name string
	did("Conn.QueryRow", conn.QueryRow(ctx, "SELECT name FROM products WHERE id = $1", 1).Scan(&name))
	did("Conn.QueryRow no rows", conn.QueryRow(ctx, "SELECT name FROM products WHERE id = $1", 99).Scan(&name))
	_, err = conn.Exec(ctx, "INSERT INTO nowhere VALUES (1)")
	did("Conn.Exec error", err)
	rows, err = conn.Query(ctx, "SELECT CAST(name AS INTEGER) FROM products WHERE id = $1", 1)
	did("Conn.Query error while reading", drain(rows, err))
	rows, err = conn.Query(ctx, "SELECT id FROM products WHERE id = $1")
	did("Conn.Query error before sending", drain(rows, err))
	var number int
	did("Conn.QueryRow error of a scan", conn.QueryRow(ctx, "SELECT name FROM products WHERE id = $1", 1).Scan(&number))

	_, err = conn.Prepare(ctx, "dear", "SELECT name FROM products WHERE price > $1")
	did("Conn.Prepare", err)
	_, err = conn.Prepare(ctx, "dear", "SELECT name FROM products WHERE price > $1")
	did("Conn.Prepare again, no span", err)
	rows, err = conn.Query(ctx, "dear", 1000)
	did("Conn.Query prepared", drain(rows, err))
	did("Conn.Deallocate, no span", conn.Deallocate(ctx, "dear"))

	tx, err := conn.Begin(ctx)
	did("Conn.Begin", err)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "DELETE FROM products WHERE id = 2")
	did("Tx.Exec", err)
	inner, err := tx.Begin(ctx)
	did("Tx.Begin, a savepoint", err)
	if err != nil {
		return err
	}
	did("Tx.Rollback to it", inner.Rollback(ctx))
	did("Tx.Commit", tx.Commit(ctx))
	did("Tx.Rollback after, no span", tx.Rollback(ctx))
	tx, err = conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	did("Conn.BeginTx", err)
	if err != nil {
		return err
	}
	did("Tx.QueryRow", tx.QueryRow(ctx, "SELECT name FROM products WHERE id = 1").Scan(&name))
	did("Tx.Rollback", tx.Rollback(ctx))
	did("BeginFunc, three spans", pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE products SET price = price + 1")
		return err
	}))

	copied, err := conn.CopyFrom(ctx, pgx.Identifier{"public", "products"}, []string{"id", "name"},
		pgx.CopyFromRows([][]any{{10, "secret table"}, {11, "secret bed"}}))
	did(fmt.Sprint("Conn.CopyFrom ", copied), err)
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"products"}, []string{"id"}, pgx.CopyFromRows([][]any{{10}}))
	did("Conn.CopyFrom error", err)

	did("Conn.SendBatch", batch(ctx, conn, "INSERT INTO products (id) VALUES ($1)", "INSERT INTO products (id) VALUES ($1)"))
	did("Conn.SendBatch, different", batch(ctx, conn, "DELETE FROM products WHERE id = $1", "SELECT name FROM products WHERE id = $1"))
	did("Conn.SendBatch of one", batch(ctx, conn, "SELECT name FROM products WHERE id = $1"))
	did("Conn.SendBatch error", batch(ctx, conn, "SELECT 1 / ($1::INTEGER - 20)", "SELECT $1::INTEGER"))
	did("Conn.SendBatch empty, no span", batch(ctx, conn))

	_, err = conn.Exec(ctx, "LISTEN news")
	did("Conn.Exec LISTEN", err)
	_, err = conn.Exec(ctx, "SELECT pg_notify('news', 'secret')")
	did("Conn.Exec NOTIFY", err)
	_, err = conn.WaitForNotification(ctx)
	did("Conn.WaitForNotification, no span", err)

	done, stop := context.WithCancel(ctx)
	stop()
	_, err = conn.Exec(done, "SELECT 3")
	did("Conn.Exec cancelled", err)
	return nil
}

type sender interface {
	SendBatch(context.Context, *pgx.Batch) pgx.BatchResults
}

func batch(ctx context.Context, to sender, queries ...string) error {
	all := &pgx.Batch{}
	for index, query := range queries {
		all.Queue(query, 20+index)
	}
	return to.SendBatch(ctx, all).Close()
}

func onPool(ctx context.Context, dsn string) error {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return err
	}
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	did("Pool.Ping", pool.Ping(ctx))
	_, err = pool.Exec(ctx, "UPDATE products SET name = 'secret' WHERE id = $1", 1)
	did("Pool.Exec", err)
	rows, err := pool.Query(ctx, "SELECT name FROM products WHERE id = $1", 1)
	did("Pool.Query", drain(rows, err))
	rows, err = pool.Query(ctx, "SELECT nothing FROM products")
	did("Pool.Query error", drain(rows, err))
	var name string
	did("Pool.QueryRow", pool.QueryRow(ctx, "SELECT name FROM products WHERE id = $1", 1).Scan(&name))
	did("Pool.SendBatch", batch(ctx, pool, "UPDATE products SET price = 1 WHERE id = $1", "UPDATE products SET price = 1 WHERE id = $1"))
	_, err = pool.CopyFrom(ctx, pgx.Identifier{"products"}, []string{"id"}, pgx.CopyFromRows([][]any{{30}}))
	did("Pool.CopyFrom", err)
	tx, err := pool.Begin(ctx)
	did("Pool.Begin", err)
	if err != nil {
		return err
	}
	did("Tx.QueryRow", tx.QueryRow(ctx, "SELECT name FROM products WHERE id = $1", 1).Scan(&name))
	did("Tx.SendBatch", batch(ctx, tx, "SELECT name FROM products WHERE id = $1"))
	did("Tx.Commit", tx.Commit(ctx))
	tx, err = pool.Begin(ctx)
	did("Pool.Begin", err)
	if err != nil {
		return err
	}
	did("Tx.Rollback", tx.Rollback(ctx))

	conn, err := pool.Acquire(ctx)
	did("Pool.Acquire, no span", err)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "SELECT 4")
	did("Conn.Exec", err)
	short, stop := context.WithTimeout(ctx, time.Millisecond)
	defer stop()
	// The only connection is taken.
	_, err = pool.Exec(short, "SELECT 5")
	did("Pool.Exec in vain", waited(err))
	rows, err = pool.Query(short, "SELECT 6")
	did("Pool.Query in vain", waited(drain(rows, err)))
	did("Pool.SendBatch in vain", waited(batch(short, pool, "SELECT 7")))
	conn.Release()
	return nil
}

func waited(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return fmt.Errorf("did not wait: %w", err)
}

// byDatabaseSQL uses pgx as a driver: the spans are those of database/sql, and no others.
func byDatabaseSQL(ctx context.Context, dsn string) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	did("sql.DB.Ping", db.PingContext(ctx))
	var name string
	did("sql.DB.QueryRow", db.QueryRowContext(ctx, "SELECT name FROM products WHERE id = $1", 1).Scan(&name))
	statement, err := db.PrepareContext(ctx, "UPDATE products SET price = 2 WHERE id = $1")
	did("sql.DB.Prepare", err)
	if err != nil {
		return err
	}
	_, err = statement.ExecContext(ctx, 1)
	did("sql.Stmt.Exec", errors.Join(err, statement.Close()))
	tx, err := db.BeginTx(ctx, nil)
	did("sql.DB.Begin", err)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DROP TABLE products")
	did("sql.Tx.Exec", err)
	did("sql.Tx.Commit", tx.Commit())
	_, err = db.ExecContext(ctx, "DROP TABLE products")
	var failed *pgconn.PgError
	did(fmt.Sprint("sql.DB.Exec error ", errors.As(err, &failed)), err)
	return nil
}

func drain(rows pgx.Rows, err error) error {
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return rows.Err()
}
