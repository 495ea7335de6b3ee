// Share is a server with a span on the CPU, for tests that look at it from outside, as a stranger would: with a debugger's
// rights and none of Tandem's code.
//
//	share
//
// It prints its process id and its address. GET /spin begins a span that keeps its goroutine on the CPU until GET /stop, GET
// /block one that waits in a system call. There is /debug/pprof, too. It ends when its standard input does.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"sync/atomic"
	"syscall"
)

var over atomic.Bool

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "share:", err)
		os.Exit(1)
	}
	http.HandleFunc("/spin", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, spin()) })
	http.HandleFunc("/block", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, block()) })
	http.HandleFunc("/stop", func(http.ResponseWriter, *http.Request) { stop() })
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

// pipe is one that nobody writes to: its other end is closed.
var pipe [2]int

//tandem:span block
func block() int {
	if err := syscall.Pipe(pipe[:]); err != nil {
		fmt.Fprintln(os.Stderr, "share:", err)
		os.Exit(1)
	}
	fmt.Println("blocking")
	size, _ := syscall.Read(pipe[0], make([]byte, 1))
	return size
}

func stop() {
	over.Store(true)
	if pipe[1] != 0 {
		syscall.Close(pipe[1])
	}
}
