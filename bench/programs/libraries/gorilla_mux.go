package main

import (
	"net"
	"net/http"

	"github.com/gorilla/mux"

	"example.com/bench/programs/serve"
)

// muxByHand instruments a router.
var muxByHand func(*mux.Router)

func init() {
	more = append(more, func(with instruments) call {
		router := mux.NewRouter()
		if with.byHand {
			muxByHand(router)
		}
		router.HandleFunc("/{name}", serve.Hello).Methods(http.MethodGet)
		return requested("gorilla-mux", func(listener net.Listener) error { return http.Serve(listener, router) })
	})
}
