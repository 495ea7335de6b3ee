package main

import (
	"context"
	"crypto/tls"
	"log"
	"net"

	"github.com/redis/rueidis"
)

func init() {
	more = append(more, func(instruments) call {
		client, err := rueidis.NewClient(rueidis.ClientOption{
			InitAddress: []string{"redis.example.com:6379"}, ForceSingleClient: true, DisableCache: true, AlwaysRESP2: true,
			ClientSetInfo: rueidis.DisableClientSetInfo,
			Dialer:        net.Dialer{KeepAlive: -1}, // no pings in between
			DialCtxFn:     func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) { return newRedisSide(), nil },
		})
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "rueidis", count: 1000, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if err := client.Do(context.Background(), client.B().Get().Key("key").Build()).Error(); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
