package main

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

func cancelled(ctx context.Context, orders *mongo.Collection) {
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err := orders.InsertOne(done, bson.M{})
	did("InsertOne, cancelled", err)
}
