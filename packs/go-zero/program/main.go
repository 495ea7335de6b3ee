// A REST service built with go-zero calls itself and prints what it did, one line a request. Woven, each request is one server
// span that is named after the path which was matched.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/rest"
	"github.com/zeromicro/go-zero/rest/httpx"
	"github.com/zeromicro/go-zero/rest/pathvar"
)

func main() {
	logx.Disable()
	port := freePort()
	var conf rest.RestConf
	conf.Host, conf.Port, conf.Timeout, conf.MaxConns, conf.MaxBytes = "127.0.0.1", port, 3000, 1000, 1<<20
	conf.Middlewares.Recover, conf.Middlewares.Timeout, conf.Middlewares.MaxConns, conf.Middlewares.MaxBytes = true, true, true, true
	server := rest.MustNewServer(conf)
	routes(server)
	var served *http.Server
	started := make(chan bool)
	go server.StartWithOpts(func(s *http.Server) {
		served = s
		close(started)
	})
	<-started
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	for address := base[len("http://"):]; ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			break
		}
	}
	for _, request := range [][2]string{
		{"GET", "/"},
		{"GET", "/users/7"},
		{"DELETE", "/users/7"}, // no such method
		{"GET", "/nowhere"},
		{"GET", "/api/v1/orders/3/lines/4"},
		{"GET", "/fails"},
		{"GET", "/panics"},
	} {
		ask(request[0], base+request[1])
	}
	served.Shutdown(context.Background()) // a request ends a moment after its answer
	server.Stop()
}

func routes(server *rest.Server) {
	text := func(w http.ResponseWriter, r *http.Request) { httpx.Ok(w) }
	server.AddRoutes([]rest.Route{
		{Method: "GET", Path: "/", Handler: text},
		{Method: "GET", Path: "/users/:id", Handler: func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, pathvar.Vars(r)["id"]) }},
		{Method: "GET", Path: "/fails", Handler: func(w http.ResponseWriter, r *http.Request) {
			httpx.WriteJson(w, http.StatusServiceUnavailable, errors.New("no").Error())
		}},
		{Method: "GET", Path: "/panics", Handler: func(w http.ResponseWriter, r *http.Request) { panic("on purpose") }},
	})
	server.AddRoutes([]rest.Route{{Method: "GET", Path: "/orders/:order/lines/:line", Handler: text}}, rest.WithPrefix("/api/v1"))
}

func freePort() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func ask(method, address string) {
	request, err := http.NewRequest(method, address, nil)
	if err != nil {
		log.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		log.Fatal(err)
	}
	response.Body.Close()
	fmt.Println(method, request.URL.Path, response.StatusCode)
}
