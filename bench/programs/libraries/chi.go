package main

import (
	"net"
	"net/http"

	"github.com/go-chi/chi/v5"

	"example.com/bench/programs/serve"
)

func init() {
	more = append(more, func(with instruments) call { // by hand with otelhttp, which knows no route: chi has no library of its own
		router := chi.NewRouter()
		router.Use(with.handler)
		router.Get("/{name}", serve.Hello)
		return requested("chi", func(listener net.Listener) error { return http.Serve(listener, router) })
	})
}
