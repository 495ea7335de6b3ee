package main

import (
	"context"
	"log"
	"net"

	"github.com/go-redis/redis/v8"
)

// redisV8ByHand instruments a client.
var redisV8ByHand func(*redis.Client)

func init() {
	more = append(more, func(with instruments) call {
		client := redis.NewClient(&redis.Options{
			Addr: "redis.example.com:6379", PoolSize: 1,
			Dialer: func(context.Context, string, string) (net.Conn, error) { return newRedisSide(), nil },
		})
		if with.byHand {
			redisV8ByHand(client)
		}
		return call{name: "go-redis v8", count: 1000, spans: 1, whole: 1, do: func(n int) {
			with.span(func(ctx context.Context) { // without one around it, redisotel makes none
				for ; n > 0; n-- {
					if err := client.Get(ctx, "key").Err(); err != nil {
						log.Fatal(err)
					}
				}
			})
		}}
	})
}
