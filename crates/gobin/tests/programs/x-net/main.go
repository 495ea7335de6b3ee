// What observers look for in golang.org/x/net/http2. Built by tests, never run.
package main

import (
	"fmt"
	"net/http"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

func main() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL) })
	fmt.Println(http.ListenAndServe("localhost:0", h2c.NewHandler(handler, &http2.Server{})))
	client := http.Client{Transport: &http2.Transport{}}
	fmt.Println(client.Get("https://localhost:0"))
}
