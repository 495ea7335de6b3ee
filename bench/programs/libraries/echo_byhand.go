//go:build !woven

package main

import (
	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/contrib/instrumentation/github.com/labstack/echo/otelecho"
)

func init() { echoByHand = func(e *echo.Echo) { e.Use(otelecho.Middleware("bench")) } }
