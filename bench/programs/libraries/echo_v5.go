package main

import (
	"net"
	"net/http"

	"github.com/labstack/echo/v5"

	"example.com/bench/programs/serve"
)

func init() {
	more = append(more, func(with instruments) call { // by hand with otelhttp, which knows no route
		e := echo.New()
		e.GET("/:name", func(c *echo.Context) error { serve.Hello(c.Response(), c.Request()); return nil })
		handler := with.handler(e)
		return requested("echo v5", func(listener net.Listener) error { return http.Serve(listener, handler) })
	})
}
