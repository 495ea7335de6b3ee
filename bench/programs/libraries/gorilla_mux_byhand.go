//go:build !woven

package main

import (
	"github.com/gorilla/mux"
	"go.opentelemetry.io/contrib/instrumentation/github.com/gorilla/mux/otelmux"
)

func init() { muxByHand = func(router *mux.Router) { router.Use(otelmux.Middleware("bench")) } }
