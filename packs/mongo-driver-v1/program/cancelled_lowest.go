//go:build lowest

package main

import (
	"context"

	"go.mongodb.org/mongo-driver/mongo"
)

// cancelled is left out: this version may notice only while it writes.
func cancelled(context.Context, *mongo.Collection) {}
