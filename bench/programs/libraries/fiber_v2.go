package main

import (
	"net"

	"github.com/gofiber/fiber/v2"
)

// fiberByHand instruments an app.
var fiberByHand func(*fiber.App)

func init() {
	more = append(more, func(with instruments) call {
		app := fiber.New(fiber.Config{DisableStartupMessage: true})
		if with.byHand {
			fiberByHand(app)
		}
		app.Get("/:name", func(c *fiber.Ctx) error { return c.JSON(fiber.Map{"message": "hello, world"}) })
		return requested("fiber v2", func(listener net.Listener) error { return app.Listener(listener) })
	})
}
