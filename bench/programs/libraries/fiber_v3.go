package main

import (
	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
)

func init() {
	more = append(more, func(instruments) call {
		app := fiber.New()
		app.Get("/:name", func(c fiber.Ctx) error { return c.JSON(fiber.Map{"message": "hello, world"}) })
		server := &fasthttp.Server{Handler: app.Handler()} // fiber looks into a listener, for TLS
		call := requested("fiber v3", server.Serve)
		call.bare = true
		return call
	})
}
