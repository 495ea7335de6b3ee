package main

import (
	"context"
	"log"
	"net"

	"github.com/bradfitz/gomemcache/memcache"
)

func init() {
	more = append(more, func(instruments) call {
		client := memcache.New("127.0.0.1:11211")
		client.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return newServerSide("VALUE key 0 5 1\r\nvalue\r\nEND\r\n"), nil
		}
		return call{name: "memcache", count: 1000, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if _, err := client.Get("key"); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
