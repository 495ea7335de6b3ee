//go:build !lowest

package main

import (
	"context"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

func pingPool(ctx context.Context, pool *pgxpool.Pool) { did("Pool.Ping", pool.Ping(ctx)) }

func inTransaction(ctx context.Context, conn *pgx.Conn, do func(pgx.Tx) error) error {
	return conn.BeginFunc(ctx, do)
}
