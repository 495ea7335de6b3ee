package main

import (
	"context"
	"log"
	"net"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// A server of revision 54058, and the end of what it has to say.
const (
	clickHouseHello = "\x00\x0aClickHouse\x01\x01\xaa\xa6\x03\x03UTC"
	clickHouseEnd   = "\x05"
)

func init() {
	more = append(more, func(instruments) call {
		conn, err := clickhouse.Open(&clickhouse.Options{
			Addr: []string{"clickhouse.example.com:9000"}, MaxOpenConns: 1,
			DialContext: func(context.Context, string) (net.Conn, error) {
				return newServerSide(clickHouseHello, clickHouseEnd), nil
			},
		})
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "clickhouse-go", count: 500, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if err := conn.Exec(context.Background(), "OPTIMIZE TABLE items"); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
