package main

import (
	"context"
	"log"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// mongoByHand instruments a client.
var mongoByHand func(*options.ClientOptions)

func init() {
	more = append(more, func(with instruments) call {
		settings := options.Client().ApplyURI("mongodb://mongo.example.com:27017/?directConnection=true").
			SetDialer(mongoDialer(dialled(serveMongo))).SetServerAPIOptions(options.ServerAPI(options.ServerAPIVersion1)).SetHeartbeatInterval(time.Hour)
		if with.byHand {
			mongoByHand(settings)
		}
		client, err := mongo.Connect(context.Background(), settings)
		if err != nil {
			log.Fatal(err)
		}
		items := client.Database("shop").Collection("items")
		return call{name: "mongo-driver v1", count: 500, spans: 1, do: func(n int) {
			for ; n > 0; n-- {
				if _, err := items.InsertOne(context.Background(), bson.D{{Key: "_id", Value: n}, {Key: "name", Value: "chair"}}); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
