// What observers look for in go-redis. Built by tests, never run.
package main

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

func main() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:0"})
	fmt.Println(client.Get(context.Background(), "key").Result())
	fmt.Println(client.Do(context.Background(), "ping").Result())
	_, err := client.Pipelined(context.Background(), func(pipe redis.Pipeliner) error {
		pipe.Set(context.Background(), "key", 1, 0)
		return nil
	})
	fmt.Println(err)
}
