// Routes is a program that serves two routes and asks for them as a stranger does, over a connection that nobody traces: each
// request begins a trace. It is for tests of what is recorded of which route.
//
// It reads lines of standard input that begin with "/busy/ 100" or "/broken 1": so many requests it makes, and says the line again
// when they are answered. Of /busy/ each asks for something else that lies below it; /broken always fails. When its standard input
// ends it ends.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/busy/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	server := httptest.NewServer(mux)
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		panic(err)
	}
	answers := bufio.NewReader(connection)
	fmt.Println("pid", os.Getpid())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var route string
		var count int
		if _, err := fmt.Sscan(lines.Text(), &route, &count); err != nil {
			panic(err)
		}
		for ; count > 0; count-- {
			path := route
			if strings.HasSuffix(route, "/") {
				path += strconv.Itoa(count)
			}
			fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: routes\r\n\r\n", path)
			response, err := http.ReadResponse(answers, nil)
			if err != nil {
				panic(err)
			}
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		fmt.Println(lines.Text())
	}
	connection.Close()
	server.Close()
}
