// Outcomes is a program that serves and asks itself, for tests of what is kept of it: so many requests that are answered well,
// that fail and that are slow, as its arguments say. Each request is a trace of two spans.
//
// It says how many it has made, and ends when its standard input does.
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"time"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, r *http.Request) {})
	mux.HandleFunc("/bad", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { time.Sleep(1200 * time.Millisecond) })
	server := httptest.NewServer(mux)
	made := 0
	for index, path := range []string{"/good", "/bad", "/slow"} {
		count, err := strconv.Atoi(os.Args[1+index])
		if err != nil {
			panic(err)
		}
		for ; count > 0; count-- {
			response, err := http.Get(server.URL + path)
			if err != nil {
				panic(err)
			}
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
			made++
		}
	}
	fmt.Println("made", made)
	io.Copy(io.Discard, os.Stdin)
	server.Close()
}
