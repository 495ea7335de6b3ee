package main

import (
	"context"
	"log"
	"net"

	"github.com/jackc/pgx/v4"
)

func init() {
	more = append(more, func(instruments) call {
		dial := dialled(servePostgres)
		config, err := pgx.ParseConfig("postgres://user@database.example.com/shop?sslmode=disable")
		if err != nil {
			log.Fatal(err)
		}
		config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
		config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return dial() }
		conn, err := pgx.ConnectConfig(context.Background(), config)
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "pgx v4", count: 500, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if _, err := conn.Exec(context.Background(), "update items set seen = 1 where id = 7"); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
