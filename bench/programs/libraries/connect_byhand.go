//go:build !woven

package main

import (
	"log"

	"connectrpc.com/connect"
	"connectrpc.com/otelconnect"
)

func init() {
	connectByHand = func() connect.Option {
		interceptor, err := otelconnect.NewInterceptor()
		if err != nil {
			log.Fatal(err)
		}
		return connect.WithInterceptors(interceptor)
	}
}
