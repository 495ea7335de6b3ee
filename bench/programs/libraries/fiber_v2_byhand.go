//go:build !woven

package main

import (
	"github.com/gofiber/contrib/otelfiber/v2"
	"github.com/gofiber/fiber/v2"
)

func init() { fiberByHand = func(app *fiber.App) { app.Use(otelfiber.Middleware()) } }
