// Share is a server with a span on the CPU, for tests that look at it from outside, as a stranger would: with a debugger's
// rights and none of Tandem's code.
//
//	share
//
// It prints its process id and its address. GET /spin begins a span that keeps its goroutine on the CPU until GET /stop. There
// is /debug/pprof, too. It ends when its standard input does.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"sync/atomic"
)

var over atomic.Bool

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "share:", err)
		os.Exit(1)
	}
	http.HandleFunc("/spin", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, spin()) })
	http.HandleFunc("/stop", func(http.ResponseWriter, *http.Request) { over.Store(true) })
	fmt.Println("pid", os.Getpid(), "address", listener.Addr())
	go http.Serve(listener, nil)
	io.Copy(io.Discard, os.Stdin)
}

//tandem:span spin
func spin() (rounds int) {
	fmt.Println("spinning")
	for !over.Load() {
		rounds++
	}
	return rounds
}
