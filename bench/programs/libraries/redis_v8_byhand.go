//go:build !woven

package main

import (
	"github.com/go-redis/redis/extra/redisotel/v8"
	"github.com/go-redis/redis/v8"
)

func init() {
	redisV8ByHand = func(client *redis.Client) { client.AddHook(redisotel.NewTracingHook()) }
}
