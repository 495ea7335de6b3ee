// A request leaves work for later in all ways that package context has, and with a timer; others cancel. Woven, what is done
// later is below the request.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// cancellers cancel what they are given. They were there before any request.
var cancellers = make(chan context.CancelFunc)

var address string

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	address = "http://" + listener.Addr().String()
	http.HandleFunc("/work", work)
	http.HandleFunc("/cancelled", answer)
	http.HandleFunc("/expired", answer)
	http.HandleFunc("/timer", answer)
	http.HandleFunc("/outside", answer)
	server := new(http.Server)
	go server.Serve(listener)
	go func() {
		for cancel := range cancellers {
			cancel()
		}
	}()
	get("/work")

	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	context.AfterFunc(ctx, func() {
		get("/outside")
		close(done)
	})
	cancellers <- cancel
	<-done
	check(server.Shutdown(context.Background())) // a request ends a moment after its answer
}

func work(w http.ResponseWriter, r *http.Request) {
	done := make(chan struct{})
	later := func(path string) func() {
		return func() {
			get(path)
			done <- struct{}{}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	context.AfterFunc(ctx, later("/cancelled"))
	cancellers <- cancel
	<-done
	ctx, cancel = context.WithTimeout(r.Context(), time.Millisecond)
	defer cancel()
	context.AfterFunc(ctx, later("/expired"))
	<-done
	time.AfterFunc(time.Millisecond, later("/timer"))
	<-done
	fmt.Fprintln(w, "all is done")
}

func answer(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL.Path) }

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
