// Program runs commands in all the ways that Tandem's pack has to tell apart, itself among them: what a woven program runs,
// and what that runs, is one trace.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		code, err := strconv.Atoi(os.Args[1])
		check(err)
		child(code)
	}
	self, err := os.Executable()
	check(err)
	show("succeeds", exec.Command("true").Run())
	show("fails", exec.Command("sh", "-c", "exit 3").Run())
	show("is killed", exec.Command("sh", "-c", "kill -TERM $$").Run())
	show("is not there", exec.Command("/nonexistent/command").Run())
	show("is not found", exec.Command("nonexistent-command").Run())
	show("is woven", exec.Command(self, "0").Run())
	show("is woven and fails", exec.Command(self, "4").Run())
	late, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	show("takes too long", exec.CommandContext(late, "sleep", "60").Run())

	own := exec.Command("sh", "-c", "echo $TRACEPARENT")
	own.Env = append(os.Environ(), "TRACEPARENT=00-11111111111111111111111111111111-2222222222222222-01")
	output, err := own.Output()
	show("has a trace of its own: "+string(output), err)

	released := exec.Command("true")
	check(released.Start())
	show("is not waited for", released.Process.Release())

	throughContext()
}

// throughContext runs a command for a request, in a goroutine that only its context tells of the request.
func throughContext() {
	requests := make(chan *http.Request)
	done := make(chan error)
	go func() {
		for r := range requests {
			done <- exec.CommandContext(r.Context(), "true").Run()
		}
	}()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests <- r
		show("has a context", <-done)
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/run")
	check(err)
	check(response.Body.Close())
	check(server.Shutdown(context.Background())) // a request ends a moment after its answer
}

// child is what the program does when it runs itself.
func child(code int) {
	if code != 0 {
		os.Exit(code)
	}
	check(exec.Command("true").Run())
	os.Exit(0)
}

func show(what string, err error) { fmt.Println(what, err) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}
