//go:build !lowest

package main

import (
	"context"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
)

func cancelled(ctx context.Context, orders *mongo.Collection) {
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err := orders.InsertOne(done, bson.M{})
	did("InsertOne, cancelled", err)
}
