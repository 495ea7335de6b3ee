//go:build !woven

package main

import (
	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic/gin/otelgin"
)

func init() { ginByHand = func(engine *gin.Engine) { engine.Use(otelgin.Middleware("bench")) } }
