//go:build !lowest

package main

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// natively uses the library's own interface.
func natively(ctx context.Context, address string) {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{address}, Auth: clickhouse.Auth{Database: "default", Username: "default"}, Protocol: clickhouse.HTTP,
	})
	must(err)
	did("HTTP, batch", batch(ctx, conn))
	rows, err := conn.Query(ctx, "SELECT id, name FROM products WHERE name = ? ORDER BY id", "secret")
	must(err)
	read := 0
	for rows.Next() {
		read++
	}
	did(fmt.Sprintf("HTTP, Query: %d rows", read), rows.Err())
	must(rows.Close())
	var count uint64
	did("HTTP, QueryRow", conn.QueryRow(ctx, "SELECT count() FROM products").Scan(&count))
	did("HTTP, Exec", conn.Exec(ctx, "TRUNCATE TABLE products"))
	did("HTTP, no such table", conn.Exec(ctx, "SELECT secret FROM nowhere WHERE a = 'secret'"))
	must(conn.Close())
}
