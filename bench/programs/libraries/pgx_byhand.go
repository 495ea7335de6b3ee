//go:build !woven

package main

import (
	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
)

func init() { pgxByHand = func(config *pgx.ConnConfig) { config.Tracer = otelpgx.NewTracer() } }
