// Uses cron in all ways that the pack tells apart. Each operation prints a line.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"
)

// times is a schedule of a few runs, right after each other.
type times struct{ left atomic.Int32 }

func (s *times) Next(now time.Time) time.Time {
	if s.left.Add(-1) < 0 {
		return time.Time{}
	}
	return now.Add(time.Millisecond)
}

func runs(n int32) *times {
	s := new(times)
	s.left.Store(n)
	return s
}

var ran = make(chan string)

func cleanUp() { ran <- "function" }

type report struct{}

func (report) Run() { ran <- "value" }

type backup struct{ name string }

func (*backup) Run() { ran <- "pointer" }

func fails() {
	defer func() { go func() { ran <- "panic" }() }()
	panic("no")
}

func main() {
	c := cron.New(cron.WithChain(cron.Recover(cron.DiscardLogger)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	// A request starts it: jobs are none of the request's.
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.Start() })}
	go server.Serve(listener)
	url := "http://" + listener.Addr().String() + "/"
	get(url)
	for _, job := range []cron.Job{cron.FuncJob(cleanUp), report{}, &backup{}, cron.FuncJob(fails)} {
		c.Schedule(runs(1), job)
		fmt.Println("ran", <-ran)
	}
	c.Schedule(runs(2), cron.FuncJob(func() {
		get(url) // a child of the job
		ran <- "twice"
	}))
	fmt.Println("ran", <-ran)
	fmt.Println("ran", <-ran)
	<-c.Stop().Done()
	server.Shutdown(context.Background())
}

func get(url string) {
	response, err := http.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
}
