package main

import (
	"net"
	"net/http"

	"github.com/labstack/echo/v4"

	"example.com/bench/programs/serve"
)

// echoByHand instruments an Echo.
var echoByHand func(*echo.Echo)

func init() {
	more = append(more, func(with instruments) call {
		e := echo.New()
		if with.byHand {
			echoByHand(e)
		}
		e.GET("/:name", func(c echo.Context) error { serve.Hello(c.Response(), c.Request()); return nil })
		return requested("echo", func(listener net.Listener) error { return http.Serve(listener, e) })
	})
}
