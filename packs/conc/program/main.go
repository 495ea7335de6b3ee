// A request and what it calls share pools, whose goroutines the first one has started. Woven, each task is
// below the request that it was submitted by.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/pool"
)

var address string

func main() {
	plain := pool.New().WithMaxGoroutines(1)
	results := pool.NewWithResults[string]().WithMaxGoroutines(1).WithErrors()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	address = "http://" + listener.Addr().String()
	http.HandleFunc("/task/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL.Path) })
	work := func(w http.ResponseWriter, r *http.Request) {
		done := make(chan struct{})
		plain.Go(func() {
			get("/task/plain" + r.URL.Path)
			done <- struct{}{}
		})
		<-done
		results.Go(func() (string, error) {
			get("/task/results" + r.URL.Path)
			done <- struct{}{}
			return r.URL.Path, nil
		})
		<-done
		var group conc.WaitGroup
		group.Go(func() { get("/task/group" + r.URL.Path) })
		group.Wait()
	}
	http.HandleFunc("/first", func(w http.ResponseWriter, r *http.Request) {
		work(w, r)
		get("/second") // while this one is still running
	})
	http.HandleFunc("/second", work)
	server := new(http.Server)
	go server.Serve(listener)
	get("/first")
	plain.Go(func() { get("/task/outside") })
	plain.Wait()
	paths, err := results.Wait()
	check(err)
	fmt.Println(len(paths), "results")
	check(server.Shutdown(context.Background())) // a request ends a moment after its answer
}

func get(path string) {
	response, err := http.Get(address + path)
	check(err)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
