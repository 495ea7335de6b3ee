// Command memory serves hello with the real net/http server over a connection that lies in memory: no kernel, no second
// thread, one request after another. Every few hundred requests it switches to another mode, in random order, and
// measures the process's CPU time. That resolves some 20 ns a request; sockets resolve some hundreds.
package main

import (
	"flag"
	"log"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"example.com/bench/programs/serve"
)

var (
	rounds = flag.Int("rounds", 100, "rounds of modes to measure")
	limit  = flag.Duration("limit", time.Minute, "time after which to end early")
	batch  = flag.Int("batch", 600, "requests measured in one mode at a time")
	sweep  = flag.Int("sweep", 0, "KiB of memory to walk through before each request, so that it finds cold caches")
	names  = flag.String("modes", "", "modes, with commas: dormant, unsampled, traced, alone; empty: the program is plain")
)

const request = "GET /hello HTTP/1.1\r\n" +
	"Host: 127.0.0.1:8080\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\r\n"

func main() {
	flag.Parse()
	runtime.GOMAXPROCS(1)
	measure, err := newMeasure(strings.Split(*names, ","))
	if err != nil {
		log.Fatal(err)
	}
	measure.done = func() {
		if err := measure.figures.Write(os.Stdout); err != nil {
			log.Fatal(err)
		}
		os.Exit(0)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", serve.Hello)
	listener := make(listener, 1)
	listener <- &conn{answered: measure.answered, sweep: measure.sweep}
	log.Fatal(http.Serve(listener, mux))
}
