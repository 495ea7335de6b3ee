// Command server is the hello server without any telemetry, plain or woven. With -rounds it also switches itself between
// modes every few hundred requests and measures the CPU time of each (woven only): the same process, the same
// connections, the same minute.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"example.com/bench/programs/serve"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "address to listen on")
	rounds := flag.Int("rounds", 0, "rounds of modes to measure; 0: serve only")
	limit := flag.Duration("limit", time.Minute, "time after which to end early")
	batch := flag.Int("batch", 1000, "requests in one mode")
	flag.Parse()
	mux := http.NewServeMux()
	if *rounds > 0 {
		m, err := newModes(*rounds, *batch, *limit)
		if err != nil {
			log.Fatal(err)
		}
		mux.HandleFunc("GET /hello", m.hello)
	} else {
		mux.HandleFunc("GET /hello", serve.Hello)
	}
	mux.HandleFunc("GET /report", serve.Report)
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}
