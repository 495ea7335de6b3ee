// Uses go-redis v8 in all ways that the pack tells apart, on the Redis at REDIS_ADDR and, where it is set, the cluster at
// REDIS_CLUSTER_ADDRS. Each operation prints a line; woven, each line is one client span, or none where it says so.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-redis/redis/v8"
)

func did(operation string, err error) {
	text := fmt.Sprint(err)
	if err != nil && !errors.Is(err, redis.Nil) {
		text = "failed"
	}
	fmt.Printf("%-32s %s\n", operation, text)
}

func main() {
	address := os.Getenv("REDIS_ADDR")
	if address == "" {
		log.Fatal("REDIS_ADDR is not set")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: address, DB: 3})
	commands(ctx, client)
	batches(ctx, client)
	messages(ctx, client)
	ring(ctx, address)
	failures(ctx, client)
	request(ctx, address)
	if nodes := os.Getenv("REDIS_CLUSTER_ADDRS"); nodes != "" {
		cluster(ctx, strings.Split(nodes, ","))
	}
}

func commands(ctx context.Context, client *redis.Client) {
	did("Set", client.Set(ctx, "name:secret", "secret", time.Hour).Err())
	did("Get", client.Get(ctx, "name:secret").Err())
	did("Get, nothing there", client.Get(ctx, "nowhere").Err())
	did("Do", client.Do(ctx, "HSET", "hash", "field", "secret").Err())
	did("Do, no such command", client.Do(ctx, "secret@example.com").Err())
	did("LPush to a string", client.LPush(ctx, "name:secret", 1).Err())
	did("MSet of many", client.MSet(ctx, pairs(20)...).Err())
	names := client.Scan(ctx, 0, "nobody*", 1000).Iterator()
	for names.Next(ctx) {
	}
	did("Scan, one span a page", names.Err())
	connection := client.Conn(ctx)
	did("Conn.Ping", connection.Ping(ctx).Err())
	did("Conn.Close, no span", connection.Close())
}

func pairs(count int) []interface{} {
	var all []interface{}
	for i := 0; i < count; i++ {
		all = append(all, fmt.Sprint("key", i), i)
	}
	return all
}

func batches(ctx context.Context, client *redis.Client) {
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := 0; i < 3; i++ {
			pipe.Get(ctx, fmt.Sprint("key", i))
		}
		return nil
	})
	did("Pipelined, all the same", err)
	_, err = client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Get(ctx, "nowhere")
		pipe.LPush(ctx, "key1", "secret")
		pipe.Set(ctx, "key2", "secret", 0)
		return nil
	})
	did("Pipelined, one is an error", err)
	_, err = client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Incr(ctx, "count")
		return nil
	})
	did("Pipelined, a single one", err)
	_, err = client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Incr(ctx, "count")
		pipe.Incr(ctx, "count")
		return nil
	})
	did("TxPipelined", err)
	err = client.Watch(ctx, func(tx *redis.Tx) error {
		did("Tx.Get", tx.Get(ctx, "count").Err())
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, "count", 1, 0)
			pipe.Expire(ctx, "count", time.Hour)
			return nil
		})
		did("Tx.TxPipelined", err)
		return nil
	}, "count")
	did("Watch: WATCH, UNWATCH besides", err)
}

func messages(ctx context.Context, client *redis.Client) {
	subscription := client.Subscribe(ctx, "news")
	_, err := subscription.Receive(ctx)
	did("Receive, subscribed", err)
	did("Publish", client.Publish(ctx, "news", "secret").Err())
	_, err = subscription.ReceiveMessage(ctx)
	did("ReceiveMessage", err)
	_, err = subscription.ReceiveTimeout(ctx, time.Millisecond)
	did("ReceiveTimeout, nothing came", err)
	did("Publish", client.Publish(ctx, "news", "secret").Err())
	<-subscription.Channel()
	did("Channel, no span", nil)
	did("Close, no span", subscription.Close())

	pattern := client.PSubscribe(ctx, "new*")
	_, err = pattern.Receive(ctx)
	did("Receive, subscribed", err)
	did("Publish", client.Publish(ctx, "newest", "secret").Err())
	_, err = pattern.ReceiveMessage(ctx)
	did("ReceiveMessage of a pattern", err)
	pattern.Close()
}

func ring(ctx context.Context, address string) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": address, "two": address}, HeartbeatFrequency: 10 * time.Millisecond})
	defer ring.Close()
	did("Ring.Set", ring.Set(ctx, "a", 1, 0).Err())
	_, err := ring.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := 0; i < 8; i++ {
			pipe.Set(ctx, fmt.Sprint("key", i), i, 0)
		}
		return nil
	})
	did("Ring.Pipelined, several shards", err)
}

func failures(ctx context.Context, client *redis.Client) {
	done, stop := context.WithCancel(ctx)
	stop()
	did("Get, cancelled", client.Get(done, "a").Err())
	nobody := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	did("Get, nobody listens", nobody.Get(ctx, "a").Err())
	nobody.Close()
	client.Close()
	did("Get, closed", client.Get(ctx, "a").Err())
}

// request serves a request with a new client: what the client starts for itself is none of the request's.
func request(ctx context.Context, address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: address, MinIdleConns: 3})
	defer client.Close()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		did("Get in a request", client.Get(r.Context(), "nowhere").Err())
		did("Incr without its context", client.Incr(ctx, "count").Err())
		subscription := client.Subscribe(r.Context(), "news")
		subscription.Channel()
		subscription.Close()
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	if err != nil {
		log.Fatal(err)
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	server.Shutdown(ctx)
}

// cluster asks a cluster of which it has a wrong picture: all keys are said to be at the first node.
func cluster(ctx context.Context, nodes []string) {
	wrong := redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes, ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
		return []redis.ClusterSlot{{Start: 0, End: 16383, Nodes: []redis.ClusterNode{{Addr: nodes[0]}}}}, nil
	}})
	defer wrong.Close()
	did("Cluster.Set, here", wrong.Set(ctx, "b", 1, 0).Err())  // slot 3300
	did("Cluster.Set, moved", wrong.Set(ctx, "a", 1, 0).Err()) // slot 15495
	// Of a Redis 7 this version understands neither what it says of its nodes nor what it says of its commands, so that it
	// asks for a key at any node.
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes, ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
		return []redis.ClusterSlot{
			{Start: 0, End: 8191, Nodes: []redis.ClusterNode{{Addr: nodes[0]}}},
			{Start: 8192, End: 16383, Nodes: []redis.ClusterNode{{Addr: nodes[1]}}},
		}, nil
	}})
	defer client.Close()
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Get(ctx, "a")
		pipe.Get(ctx, "b")
		return nil
	})
	did("Cluster.Pipelined, two nodes", err)
	// All are asked at once. Here one waits for the other, so that their spans have an order.
	asked := make(chan struct{})
	did("Cluster.ForEachMaster, two spans", client.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		if node.Options().Addr == nodes[1] {
			defer close(asked)
		} else {
			<-asked
		}
		return node.Ping(ctx).Err()
	}))
}
