// A web service built with gorilla/mux calls itself and prints what it did, one line a request. Woven, each request is one
// server span that is named after the template of the path which was matched.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/gorilla/mux"
)

func main() {
	base, stop := serve(routes())
	defer stop()
	for _, request := range [][2]string{
		{"GET", "/"},
		{"GET", "/users/7"},
		{"DELETE", "/users/7"}, // no such method
		{"GET", "/users/seven"},
		{"GET", "/nowhere"},
		{"GET", "/files/a/b.txt"},
		{"GET", "/api/v1/orders/3/lines/4"},
		{"GET", "/api/v1/nothing"},
		{"GET", "/own/nothing"}, // the subrouter has a handler of its own for it
		{"GET", "/strict"},
		{"GET", "/clean//me"},
		{"GET", "/whatever?any=yes"}, // by its query alone
		{"POST", "/fails"},
		{"GET", "/panics"},
		{"GET", "/api/v1/stopped"},
	} {
		ask(request[0], base+request[1])
	}
}

func routes() http.Handler {
	log.SetOutput(io.Discard) // the panic is part of the show
	text := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }

	router := mux.NewRouter().StrictSlash(true)
	router.HandleFunc("/", text)
	router.HandleFunc("/users/{id:[0-9]+}", text).Methods("GET")
	router.PathPrefix("/files/").HandlerFunc(text)
	router.HandleFunc("/strict/", text)
	router.HandleFunc("/fails", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) })
	router.HandleFunc("/panics", func(w http.ResponseWriter, r *http.Request) { panic("on purpose") })
	router.Queries("any", "yes").HandlerFunc(text)

	api := router.PathPrefix("/api").Subrouter()
	version := api.PathPrefix("/v1").Subrouter()
	version.Use(stops)
	version.HandleFunc("/orders/{order}/lines/{line}", text)
	version.HandleFunc("/stopped", text)

	own := router.PathPrefix("/own").Subrouter()
	own.HandleFunc("/something", text)
	own.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotFound) })
	return recovers(router)
}

// stops lets one path not through.
func stops(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/stopped" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// recovers answers for handlers that panic, as gorilla/handlers' RecoveryHandler does.
func recovers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
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
