package main

import (
	"context"
	"log"
	"net"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// The figures have the span of the command to Redis in them.
func init() {
	more = append(more, func(instruments) call {
		client := asynq.NewClientFromRedisClient(redis.NewClient(&redis.Options{
			Addr: "redis.example.com:6379", PoolSize: 1, DisableIdentity: true,
			Dialer: func(context.Context, string, string) (net.Conn, error) { return newRedisSide(), nil },
		}))
		task := asynq.NewTask("greet", []byte("hello"))
		return call{name: "asynq", count: 500, spans: 2, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if _, err := client.EnqueueContext(context.Background(), task); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
