//go:build !lowest

package main

import (
	"context"
	"log"

	"github.com/gomodule/redigo/redis"
)

func init() { moreOf = append(moreOf, withContext) }

func withContext(pool *redis.Pool) {
	ctx := context.Background()
	c := pool.Get()
	_, err := redis.DoContext(c, ctx, "GET", "secret")
	did("DoContext", err)
	must(c.Send("GET", "secret"))
	must(c.Flush())
	_, err = redis.ReceiveContext(c, ctx)
	did("ReceiveContext", err)
	must(c.Close())

	c = pool.Get()
	subscribed := redis.PubSubConn{Conn: c}
	must(subscribed.Subscribe("news"))
	if _, is := subscribed.ReceiveContext(ctx).(redis.Subscription); !is {
		log.Fatal("this is no subscription")
	}
	did("PubSubConn.ReceiveContext", nil)
	must(subscribed.Close())
}
