package main

import (
	"context"
	"log"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func init() {
	more = append(more, func(instruments) call {
		client, err := mongo.Connect(options.Client().ApplyURI("mongodb://mongo.example.com:27017/?directConnection=true").
			SetDialer(mongoDialer(dialled(serveMongo))).SetServerAPIOptions(options.ServerAPI(options.ServerAPIVersion1)).SetHeartbeatInterval(time.Hour))
		if err != nil {
			log.Fatal(err)
		}
		items := client.Database("shop").Collection("items")
		return call{name: "mongo-driver", count: 500, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if _, err := items.InsertOne(context.Background(), bson.D{{Key: "_id", Value: n}, {Key: "name", Value: "chair"}}); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
