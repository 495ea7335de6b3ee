// Load is a program that serves and asks itself as often as it is told, for tests of what observing it costs.
//
// It prints its process id, then reads lines of standard input: a number is how many requests a second it makes from then on, and is
// answered with "rate N". Each request is for /busy, which makes twenty spans of its own, or for /quick, in turns. When its standard input
// ends it ends, and says how many of each it has made.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pieces  = 20
	workers = 8
)

var rate, busy, quick int64

//tandem:span
func piece(number int) int {
	for round := 0; round < 100; round++ {
		number = number*31 + round
	}
	return number
}

func main() {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	mux.HandleFunc("/busy", func(w http.ResponseWriter, r *http.Request) {
		sum := 0
		for number := 0; number < pieces; number++ {
			sum += piece(number)
		}
		fmt.Fprint(w, sum)
	})
	mux.HandleFunc("/quick", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") })
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}

	wanted := make(chan bool, workers)
	var working sync.WaitGroup
	for worker := 0; worker < workers; worker++ {
		working.Add(1)
		go func() {
			defer working.Done()
			for isBusy := range wanted {
				path, count := "/quick", &quick
				if isBusy {
					path, count = "/busy", &busy
				}
				response, err := client.Get(server.URL + path)
				if err != nil {
					panic(err)
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
				atomic.AddInt64(count, 1)
			}
		}()
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		defer close(wanted)
		due, isBusy, last := 0.0, false, time.Now()
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			now := time.Now()
			due += now.Sub(last).Seconds() * float64(atomic.LoadInt64(&rate))
			last = now
			for ; due >= 1; due-- {
				wanted <- isBusy
				isBusy = !isBusy
			}
		}
	}()
	fmt.Println("pid", os.Getpid())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		number, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			panic(err)
		}
		atomic.StoreInt64(&rate, number)
		fmt.Println("rate", number)
	}
	close(stop)
	<-stopped
	working.Wait()
	server.Close()
	fmt.Println("made", busy, quick)
}
