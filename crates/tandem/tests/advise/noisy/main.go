// Noisy makes many short calls in each request, and one when the request has ended: the program of a test beside it.
//
//	noisy
//
// It is plain Go, and prints its address.
package main

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	http.HandleFunc("/report", func(w http.ResponseWriter, _ *http.Request) {
		sum := 0
		for i := 0; i < 100; i++ {
			sum += price(i)
		}
		go tellLater("http://" + listener.Addr().String() + "/told")
		time.Sleep(20 * time.Millisecond)
		fmt.Fprintln(w, sum)
	})
	http.HandleFunc("/told", func(http.ResponseWriter, *http.Request) {})
	fmt.Println("address", listener.Addr())
	panic(http.Serve(listener, nil))
}

func price(of int) int {
	text := fmt.Sprint(of)
	return of + len(text)
}

// tellLater does so after the request that it belongs to, and without its context.
func tellLater(url string) {
	time.Sleep(100 * time.Millisecond)
	if response, err := http.Get(url); err == nil {
		response.Body.Close()
	}
}
