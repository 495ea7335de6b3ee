package main

import (
	"context"
	"log"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// pgxByHand instruments the connections of a configuration.
var pgxByHand func(*pgx.ConnConfig)

func init() {
	more = append(more, func(with instruments) call {
		dial := dialled(servePostgres)
		config, err := pgx.ParseConfig("postgres://user@database.example.com/shop?sslmode=disable")
		if err != nil {
			log.Fatal(err)
		}
		config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
		config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return dial() }
		if with.byHand {
			pgxByHand(config)
		}
		conn, err := pgx.ConnectConfig(context.Background(), config)
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "pgx", count: 500, spans: 1, whole: 1, do: func(n int) {
			with.span(func(ctx context.Context) { // without one around it, otelpgx makes none
				for ; n > 0; n-- {
					if _, err := conn.Exec(ctx, "update items set seen = 1 where id = 7"); err != nil {
						log.Fatal(err)
					}
				}
			})
		}}
	})
}

// servePostgres answers each query alike.
func servePostgres(conn net.Conn) error {
	backend := pgproto3.NewBackend(conn, conn)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return err
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	backend.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	for {
		backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if err := backend.Flush(); err != nil {
			return err
		}
		if _, err := backend.Receive(); err != nil {
			return err
		}
		backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("UPDATE 1")})
	}
}
