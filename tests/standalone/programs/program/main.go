// Program takes spans and ends in the way that its arguments say, for tests of what it sends by itself. It has net/http.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	count, _ := strconv.Atoi(os.Args[2])
	for number := 0; number < count; number++ {
		finished()
	}
	ends[os.Args[1]]()
}

var ends = map[string]func(){
	"return": func() {},
	"exit":   func() { os.Exit(7) },
	"fatal":  func() { log.Fatal("fatal on purpose") },
	"wait":   wait,
	// Waits without handling any signal.
	"signal": func() { fmt.Println("ready"); select {} },
	// Handles the signal, and takes a span afterwards.
	"handled": func() {
		arrived := make(chan os.Signal, 1)
		signal.Notify(arrived, syscall.SIGTERM)
		fmt.Println("ready")
		<-arrived
		signal.Stop(arrived) // as signal.NotifyContext's users do at once
		time.Sleep(300 * time.Millisecond)
		late()
		fmt.Println("handled")
	},
	// Handled it once, and does no longer.
	"stopped": func() {
		arrived := make(chan os.Signal, 1)
		signal.Notify(arrived, syscall.SIGTERM)
		signal.Stop(arrived)
		fmt.Println("ready")
		select {}
	},
	// Becomes itself in a world without memfd_create.
	"forbidden": forbid,
	// Writes twenty log records for each span.
	"logs": func() {
		logger := slog.New(slog.NewJSONHandler(io.Discard, nil))
		count, _ := strconv.Atoi(os.Args[2])
		for number := 0; number < count; number++ {
			for range [20]int{} {
				logger.Info("written", "number", number)
			}
			late()
		}
	},
	// A server and its client.
	"http": func() {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") }))
		response, failure := http.Get(server.URL + "/hello")
		if failure != nil {
			log.Fatal(failure)
		}
		response.Body.Close()
		server.Close()
	},
}

// wait takes as many spans as it is told on standard input, until that ends.
func wait() {
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		count, _ := strconv.Atoi(lines.Text())
		for number := 0; number < count; number++ {
			late()
		}
		fmt.Println("taken")
	}
}

//tandem:span finished
func finished() {}

//tandem:span late
func late() {}
