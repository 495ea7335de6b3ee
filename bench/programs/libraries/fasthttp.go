package main

import (
	"net"

	"github.com/valyala/fasthttp"
)

func init() {
	more = append(more, func(with instruments) call {
		server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("application/json")
			ctx.WriteString(`{"message":"hello, world"}` + "\n")
		}}
		call := requested("fasthttp", func(listener net.Listener) error { return server.Serve(listener) })
		call.bare = true
		return call
	})
}
