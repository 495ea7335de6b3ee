// Command roundtrip makes requests one after another, to see what is added to each.
//
//	roundtrip server              prints its address
//	roundtrip client ADDRESS      prints its own: GET /phase?time=150ms makes requests for so long, on a new connection, and
//	                              answers with their number and the nanoseconds that they took
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "server":
		serve(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	case len(os.Args) == 3 && os.Args[1] == "client":
		serve(phase("http://" + os.Args[2] + "/"))
	default:
		log.Fatal("usage: roundtrip server | roundtrip client ADDRESS")
	}
}

func serve(handler http.HandlerFunc) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, handler))
}

func phase(url string) http.HandlerFunc {
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	get := func() error {
		answer, err := client.Get(url)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
	return func(w http.ResponseWriter, r *http.Request) {
		lasting, err := time.ParseDuration(r.URL.Query().Get("time"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		transport.CloseIdleConnections()
		if err := get(); err != nil { // which makes the connection
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		started, count := time.Now(), 0
		for ; time.Since(started) < lasting; count++ {
			if err := get(); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
		}
		fmt.Fprintln(w, count, time.Since(started).Nanoseconds())
	}
}
