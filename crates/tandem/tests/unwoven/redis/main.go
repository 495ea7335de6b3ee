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

	"github.com/redis/go-redis/v9"
)

func main() {
	client := redis.NewClient(&redis.Options{Addr: os.Args[1], PoolSize: 8, MaxRetries: -1})
	jobs := make(chan func())
	for i := 0; i < 4; i++ {
		go func() {
			for job := range jobs {
				job()
			}
		}()
	}
	mux := http.NewServeMux()
	for path, handle := range map[string]func(ctx context.Context, n string){
		// No context of the request: the goroutine tells.
		"direct": func(_ context.Context, n string) { client.Do(context.Background(), "call"+n) },
		// On a goroutine that serves everybody: the context tells.
		"pool": func(ctx context.Context, n string) {
			done := make(chan struct{})
			jobs <- func() { defer close(done); client.Do(ctx, "call"+n) }
			<-done
		},
		// Several at once.
		"pipeline": func(ctx context.Context, n string) {
			client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				for i := 0; i < 3; i++ {
					pipe.Do(ctx, "call"+n)
				}
				return nil
			})
		},
	} {
		mux.HandleFunc("/"+path, func(w http.ResponseWriter, r *http.Request) { handle(r.Context(), r.URL.RawQuery) })
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
		client.Do(context.Background(), "nobody") // for no request
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
