//go:build !woven

package main

import (
	"log"

	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"
)

func init() {
	temporalByHand = func() interceptor.ClientInterceptor {
		interceptor, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{})
		if err != nil {
			log.Fatal(err)
		}
		return interceptor
	}
}
