// Two requests share pools of every kind, whose workers the first one has started. Woven, each task is below the request
// that it was submitted by.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/panjf2000/ants/v2"
)

// task asks for a path, and says so.
type task struct {
	path string
	done chan struct{}
}

func (t task) run() {
	get(t.path)
	t.done <- struct{}{}
}

var address string

func main() {
	submitted, err := ants.NewPool(1)
	check(err)
	defer submitted.Release()
	invoked, err := ants.NewPoolWithFunc(1, func(argument any) { argument.(task).run() })
	check(err)
	defer invoked.Release()
	generic, err := newGenericPool(task.run)
	check(err)
	defer generic.Release()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	address = "http://" + listener.Addr().String()
	http.HandleFunc("/task/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL.Path) })
	work := func(w http.ResponseWriter, r *http.Request) {
		done := make(chan struct{})
		check(submitted.Submit(task{"/task/submitted" + r.URL.Path, done}.run))
		<-done
		check(invoked.Invoke(task{"/task/invoked" + r.URL.Path, done}))
		<-done
		check(generic.Invoke(task{"/task/generic" + r.URL.Path, done}))
		<-done
	}
	http.HandleFunc("/first", func(w http.ResponseWriter, r *http.Request) {
		work(w, r)
		get("/second") // while this one is still running
	})
	http.HandleFunc("/second", work)
	server := new(http.Server)
	go server.Serve(listener)
	get("/first")
	done := make(chan struct{})
	check(submitted.Submit(task{"/task/outside", done}.run))
	<-done
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
