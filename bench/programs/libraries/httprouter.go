package main

import (
	"net"
	"net/http"

	"github.com/julienschmidt/httprouter"

	"example.com/bench/programs/serve"
)

func init() {
	more = append(more, func(with instruments) call { // by hand with otelhttp, which knows no route
		router := httprouter.New()
		router.GET("/:name", func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) { serve.Hello(w, r) })
		handler := with.handler(router)
		return requested("httprouter", func(listener net.Listener) error { return http.Serve(listener, handler) })
	})
}
