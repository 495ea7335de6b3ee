// A web service built with chi calls itself and prints what it did, one line a request. Woven, each request is one server
// span that is named after the route which chi matched, through mounted routers too.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

func main() {
	base, stop := serve(routes())
	defer stop()
	for _, request := range [][2]string{
		{"GET", "/"},
		{"GET", "/users/7"},
		{"DELETE", "/users/7"}, // no such method
		{"GET", "/nowhere"},
		{"GET", "/files/a/b.txt"},
		{"GET", "/dates/2026-11"},
		{"GET", "/grouped/1"},
		{"GET", "/api"},
		{"GET", "/api/v1/orders/3/lines/4"},
		{"GET", "/api/nothing"}, // which the mounted router knows, and nobody else
		{"GET", "/plain/anything"},
		{"POST", "/fails"},
		{"GET", "/panics"},
		{"GET", "/stopped"},
	} {
		ask(request[0], base+request[1])
	}
}

func routes() http.Handler {
	text := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }

	router := chi.NewRouter()
	router.Use(middleware.RequestID, quiet, middleware.Recoverer)
	router.Get("/", text)
	router.Get("/users/{id}", text)
	router.Get("/files/*", text)
	router.Get("/dates/{year:[0-9]+}-{month}", text)
	router.Post("/fails", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) })
	router.Get("/panics", func(w http.ResponseWriter, r *http.Request) { panic("on purpose") })
	router.Group(func(r chi.Router) {
		r.Use(middleware.NoCache)
		r.Get("/grouped/{id}", text)
	})
	router.With(stops).Get("/stopped", text)
	router.Route("/api", func(r chi.Router) {
		r.Get("/", text)
		r.Mount("/v1", orders(text))
	})
	router.Mount("/plain", http.HandlerFunc(text))
	return router
}

// quiet keeps Recoverer from printing: what it does for that fails in the lowest version with the stacks of newer Go versions.
func quiet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, middleware.WithLogEntry(r, silence{}))
	})
}

type silence struct{}

func (silence) Write(status, bytes int, header http.Header, elapsed time.Duration, extra interface{}) {
}
func (silence) Panic(v interface{}, stack []byte) {}

func orders(text http.HandlerFunc) http.Handler {
	router := chi.NewRouter()
	router.Route("/orders/{order}", func(r chi.Router) { r.Get("/lines/{line}", text) })
	return router
}

// stops lets nothing through.
func stops(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) })
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
