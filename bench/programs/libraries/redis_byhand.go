//go:build !woven

package main

import (
	"log"

	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"
)

func init() {
	redisByHand = func(client *redis.Client) {
		if err := redisotel.InstrumentTracing(client); err != nil {
			log.Fatal(err)
		}
	}
}
