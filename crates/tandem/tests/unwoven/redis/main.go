// A program that nobody has woven, which asks a Redis for each request that it serves. What it asks bears the request's number
// as a command that there is not, so that whoever reads the spans knows whose child each must be.
//
// Told the server's address, it prints its own, makes requests for itself when it is told to (a line of standard input: how
// many, how many at once, which paths in turn), answers that with "done", and ends when standard input does.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	redisv8 "github.com/go-redis/redis/v8"
	"github.com/redis/go-redis/v9"
)

// client asks by one of the versions of go-redis.
type client struct {
	do func(ctx context.Context, command string)
	// Several times at once.
	pipelined func(ctx context.Context, command string, times int)
}

func newClient(address string) client {
	own := redis.NewClient(&redis.Options{Addr: address, PoolSize: 8, MaxRetries: -1})
	return client{
		do: func(ctx context.Context, command string) { own.Do(ctx, command) },
		pipelined: func(ctx context.Context, command string, times int) {
			own.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				for i := 0; i < times; i++ {
					pipe.Do(ctx, command)
				}
				return nil
			})
		},
	}
}

func newClientV8(address string) client {
	own := redisv8.NewClient(&redisv8.Options{Addr: address, PoolSize: 8, MaxRetries: -1})
	return client{
		do: func(ctx context.Context, command string) { own.Do(ctx, command) },
		pipelined: func(ctx context.Context, command string, times int) {
			own.Pipelined(ctx, func(pipe redisv8.Pipeliner) error {
				for i := 0; i < times; i++ {
					pipe.Do(ctx, command)
				}
				return nil
			})
		},
	}
}

func main() {
	jobs := make(chan func())
	for i := 0; i < 4; i++ {
		go func() {
			for job := range jobs {
				job()
			}
		}()
	}
	clients := map[string]client{"v9": newClient(os.Args[1]), "v8": newClientV8(os.Args[1])}
	mux := http.NewServeMux()
	for version, client := range clients {
		for path, handle := range map[string]func(ctx context.Context, n string){
			// No context of the request: the goroutine tells.
			"direct": func(_ context.Context, n string) { client.do(context.Background(), "call"+n) },
			// On a goroutine that serves everybody: the context tells.
			"pool": func(ctx context.Context, n string) {
				done := make(chan struct{})
				jobs <- func() { defer close(done); client.do(ctx, "call"+n) }
				<-done
			},
			"pipeline": func(ctx context.Context, n string) { client.pipelined(ctx, "call"+n, 3) },
		} {
			mux.HandleFunc("/"+version+"-"+path, func(w http.ResponseWriter, r *http.Request) {
				handle(r.Context(), r.URL.RawQuery)
			})
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go http.Serve(listener, mux)
	fmt.Println(listener.Addr())
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var count, atOnce int
		var paths string
		fmt.Sscan(input.Text(), &count, &atOnce, &paths)
		load(listener.Addr().String(), count, atOnce, strings.Split(paths, ","))
		for _, client := range clients {
			client.do(context.Background(), "nobody") // for no request
		}
		fmt.Println("done")
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// load makes requests without net/http, which would make spans of them.
func load(address string, count, atOnce int, paths []string) {
	var wait sync.WaitGroup
	for worker := 0; worker < atOnce; worker++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			connection, err := net.Dial("tcp", address)
			check(err)
			defer connection.Close()
			reader := bufio.NewReader(connection)
			for n := worker; n < count; n += atOnce {
				fmt.Fprintf(connection, "GET /%s?%d HTTP/1.1\r\nHost: front.example\r\n\r\n", paths[n%len(paths)], n)
				length := 0
				for line := ""; line != "\r\n"; {
					line, err = reader.ReadString('\n')
					check(err)
					fmt.Sscanf(line, "Content-Length: %d", &length)
				}
				_, err = io.CopyN(io.Discard, reader, int64(length))
				check(err)
			}
		}()
	}
	wait.Wait()
}
