package main

import (
	"net"
	"net/http"

	"github.com/go-chi/chi"

	"example.com/bench/programs/serve"
)

func init() {
	more = append(more, func(with instruments) call { // by hand with otelhttp, like the newer one
		router := chi.NewRouter()
		router.Use(with.handler)
		router.Get("/{name}", serve.Hello)
		return requested("chi v4", func(listener net.Listener) error { return http.Serve(listener, router) })
	})
}
