// A web service built with httprouter calls itself and prints what it did, one line a request. Woven, each request is one
// server span that is named after the path which was matched.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/julienschmidt/httprouter"
)

func main() {
	base, stop := serve(routes())
	defer stop()
	for _, request := range [][2]string{
		{"GET", "/"},
		{"GET", "/users/7"},
		{"DELETE", "/users/7"},  // no such method
		{"OPTIONS", "/users/7"}, // which the router answers itself
		{"GET", "/nowhere"},
		{"GET", "/users/7/"}, // elsewhere without its slash
		{"GET", "/files/a/b.txt"},
		{"GET", "/handler/8"},
		{"POST", "/fails"},
		{"GET", "/panics"},
	} {
		ask(request[0], base+request[1])
	}
}

func routes() http.Handler {
	text := func(w http.ResponseWriter, r *http.Request, params httprouter.Params) { fmt.Fprint(w, "hello") }
	router := httprouter.New()
	router.GET("/", text)
	router.GET("/users/:id", text)
	router.GET("/files/*path", text)
	router.Handler("GET", "/handler/:id", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }))
	router.POST("/fails", func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
		http.Error(w, "no", http.StatusServiceUnavailable)
	})
	router.GET("/panics", func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) { panic("on purpose") })
	router.PanicHandler = func(w http.ResponseWriter, r *http.Request, _ interface{}) {
		w.WriteHeader(http.StatusInternalServerError)
	}

	if handle, _, _ := router.Lookup("GET", "/users/9"); handle == nil {
		log.Fatal("a handle is lost")
	}
	return router
}

// serve serves on a free port until stop, which waits until each request has ended: it does a moment after its answer.
func serve(handler http.Handler) (base string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go server.Serve(listener)
	return "http://" + listener.Addr().String(), func() { server.Shutdown(context.Background()) }
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
