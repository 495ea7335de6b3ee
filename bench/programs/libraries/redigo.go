package main

import (
	"log"
	"net"

	"github.com/gomodule/redigo/redis"
)

func init() {
	more = append(more, func(instruments) call {
		dial := redis.DialNetDial(func(string, string) (net.Conn, error) { return newRedisSide(), nil })
		conn, err := redis.Dial("tcp", "redis.example.com:6379", dial)
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "redigo", count: 1000, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if _, err := redis.String(conn.Do("GET", "key")); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
