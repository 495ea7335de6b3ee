package main

import (
	"context"

	"github.com/jackc/pgx/v4"
)

// named is nothing that this version has.
func named(context.Context, *pgx.Conn) {}
