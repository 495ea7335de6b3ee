// Uses redigo in all ways that the pack tells apart, on the server at REDIS_ADDR. Each operation prints a line.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gomodule/redigo/redis"
)

func did(operation string, err error) {
	text := "done"
	if err != nil {
		text = "failed"
	}
	fmt.Printf("%-36s %s\n", operation, text)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// moreOf are the uses of what not every version has.
var moreOf []func(*redis.Pool)

func main() {
	address := os.Getenv("REDIS_ADDR")
	if address == "" {
		log.Fatal("REDIS_ADDR is not set")
	}
	pool := &redis.Pool{MaxIdle: 2, Dial: func() (redis.Conn, error) { return redis.Dial("tcp", address, redis.DialDatabase(1)) }}
	commands(pool)
	pipelines(pool)
	messages(address, pool)
	for _, more := range moreOf {
		more(pool)
	}
	request(pool)
	failures(pool)
	must(pool.Close())
	_, err := pool.Get().Do("GET", "key")
	did("GET, closed pool, no span", err)
}

func commands(pool *redis.Pool) {
	c := pool.Get()
	_, err := c.Do("SET", "secret", "secret")
	did("SET", err)
	_, err = redis.String(c.Do("GET", "secret"))
	did("GET", err)
	_, err = redis.String(c.Do("GET", "nothing"))
	did("GET, nothing there", err)
	_, err = redis.DoWithTimeout(c, 10*time.Second, "MGET", "a", "b", "c")
	did("DoWithTimeout", err)
	_, err = redis.NewScript(1, "return redis.call('get', KEYS[1])").Do(c, "secret")
	did("Script, two commands", err)
	must(c.Close())
}

func pipelines(pool *redis.Pool) {
	c := pool.Get()
	must(c.Send("SET", "a", "secret"))
	must(c.Send("GET", "a"))
	must(c.Flush())
	for i := 0; i < 2; i++ {
		_, err := c.Receive()
		did("Receive", err)
	}
	must(c.Send("INCR", "n"))
	must(c.Send("INCR", "n"))
	_, err := c.Do("")
	did("Do with nothing", err)
	must(c.Send("GET", "a"))
	_, err = c.Do("STRLEN", "a")
	did("Do after Send", err)
	must(c.Send("MULTI"))
	must(c.Send("INCR", "n"))
	must(c.Send("INCR", "m"))
	_, err = c.Do("EXEC")
	did("Do EXEC", err)
	must(c.Send("GET", "left"))
	must(c.Flush())
	did("Close with an answer to come", c.Close())
}

func messages(address string, pool *redis.Pool) {
	c, err := redis.Dial("tcp", address)
	must(err)
	subscribed := redis.PubSubConn{Conn: c}
	must(subscribed.Subscribe("news"))
	_, is := subscribed.Receive().(redis.Subscription)
	must(subscribed.PSubscribe("other.*"))
	subscribed.Receive()
	did("Subscribe", nil)
	publisher := pool.Get()
	_, err = publisher.Do("PUBLISH", "news", "secret")
	did("PUBLISH", err)
	_, is = subscribed.Receive().(redis.Message)
	if !is {
		log.Fatal("this is no message")
	}
	_, err = publisher.Do("PUBLISH", "other.a", "secret")
	did("PUBLISH", err)
	_, is = subscribed.ReceiveWithTimeout(10 * time.Second).(redis.Message)
	did("ReceiveWithTimeout", nil)
	must(publisher.Close())
	subscribed.ReceiveWithTimeout(time.Millisecond)
	did("ReceiveWithTimeout, nothing came", nil)
	subscribed.Close() // which a timeout has closed
}

func failures(pool *redis.Pool) {
	c := pool.Get()
	_, err := c.Do("LPUSH", "secret", "secret")
	did("LPUSH to a text", err)
	_, err = c.Do("FROBNICATE", "secret")
	did("FROBNICATE", err)
	must(c.Send("LPUSH", "secret", "secret"))
	must(c.Send("GET", "secret"))
	_, err = c.Do("")
	did("Do with nothing, one fails", err)
	must(c.Send("LPUSH", "secret", "secret"))
	must(c.Flush())
	_, err = c.Receive()
	did("Receive, a failure", err)
	must(c.Close())
	_, err = redis.Dial("tcp", "127.0.0.1:1")
	did("Dial, no server, no span", err)
}

// request serves a request.
func request(pool *redis.Pool) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := pool.Get()
		defer c.Close()
		_, err := c.Do("GET", "secret")
		must(err)
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	server.Shutdown(context.Background())
}
