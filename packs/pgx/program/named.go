package main

import (
	"context"

	"github.com/jackc/pgx/v5"
)

func named(ctx context.Context, conn *pgx.Conn) {
	rows, err := conn.Query(ctx, "SELECT id FROM products WHERE id = @id", pgx.NamedArgs{"id": 1})
	did("Conn.Query, named arguments", drain(rows, err))
}
