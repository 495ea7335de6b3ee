package main

import (
	"net"
	"net/http"

	"github.com/gin-gonic/gin"

	"example.com/bench/programs/serve"
)

// ginByHand instruments an engine.
var ginByHand func(*gin.Engine)

func init() {
	more = append(more, func(with instruments) call {
		gin.SetMode(gin.ReleaseMode)
		engine := gin.New()
		if with.byHand {
			ginByHand(engine)
		}
		engine.GET("/:name", func(c *gin.Context) { serve.Hello(c.Writer, c.Request) })
		return requested("gin", func(listener net.Listener) error { return http.Serve(listener, engine) })
	})
}
