//go:build !woven

package main

import (
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.opentelemetry.io/contrib/instrumentation/go.mongodb.org/mongo-driver/mongo/otelmongo"
)

func init() {
	mongoByHand = func(settings *options.ClientOptions) { settings.SetMonitor(otelmongo.NewMonitor()) }
}
