// Uses MongoDB in all ways that the pack tells apart, on the server at MONGO_URL. Each operation prints a line.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func did(operation string, err error) {
	text := "done"
	if err != nil {
		text = "failed"
	}
	fmt.Printf("%-36s %s\n", operation, text)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	url := os.Getenv("MONGO_URL")
	if url == "" {
		log.Fatal("MONGO_URL is not set")
	}
	ctx := context.Background()
	client, err := mongo.Connect(options.Client().ApplyURI(url).SetServerSelectionTimeout(10 * time.Second))
	must(err)
	shop := client.Database("shop")
	orders := shop.Collection("orders")
	write(ctx, orders)
	read(ctx, orders)
	manage(ctx, shop, orders)
	failures(ctx, shop, orders)
	request(ctx, orders)
	must(client.Disconnect(ctx))
	_, err = orders.CountDocuments(ctx, bson.M{})
	did("CountDocuments, disconnected", err)
	nowhere(ctx)
}

func write(ctx context.Context, orders *mongo.Collection) {
	_, err := orders.InsertOne(ctx, bson.M{"_id": 1, "name": "secret"})
	did("InsertOne", err)
	_, err = orders.InsertMany(ctx, []any{bson.M{"_id": 2, "n": 1}, bson.M{"_id": 3, "n": 2}, bson.M{"_id": 4, "n": 3}})
	did("InsertMany", err)
	_, err = orders.UpdateOne(ctx, bson.M{"_id": 1}, bson.M{"$set": bson.M{"name": "secret"}})
	did("UpdateOne", err)
	_, err = orders.UpdateMany(ctx, bson.M{"n": bson.M{"$gt": 0}}, bson.M{"$inc": bson.M{"n": 1}})
	did("UpdateMany", err)
	_, err = orders.ReplaceOne(ctx, bson.M{"_id": 4}, bson.M{"n": 7})
	did("ReplaceOne", err)
	_, err = orders.DeleteOne(ctx, bson.M{"_id": 4})
	did("DeleteOne", err)
	_, err = orders.BulkWrite(ctx, []mongo.WriteModel{
		mongo.NewInsertOneModel().SetDocument(bson.M{"_id": 5}),
		mongo.NewInsertOneModel().SetDocument(bson.M{"_id": 6}),
		mongo.NewDeleteOneModel().SetFilter(bson.M{"_id": 5}),
	})
	did("BulkWrite, two commands", err)
	did("FindOneAndUpdate", orders.FindOneAndUpdate(ctx, bson.M{"_id": 6}, bson.M{"$set": bson.M{"n": 9}}).Err())
}

func read(ctx context.Context, orders *mongo.Collection) {
	did("FindOne", orders.FindOne(ctx, bson.M{"_id": 1}).Err())
	did("FindOne, nothing there", orders.FindOne(ctx, bson.M{"_id": 4711}).Err())
	cursor, err := orders.Find(ctx, bson.M{}, options.Find().SetBatchSize(2))
	must(err)
	all := 0
	for cursor.Next(ctx) {
		all++
	}
	must(cursor.Err())
	if all != 4 {
		log.Fatalf("%d documents instead of 4", all)
	}
	did("Find, two batches", cursor.Close(ctx))
	cursor, err = orders.Find(ctx, bson.M{}, options.Find().SetBatchSize(2))
	must(err)
	did("Find, closed early", cursor.Close(ctx))
	_, err = orders.CountDocuments(ctx, bson.M{})
	did("CountDocuments", err)
	cursor, err = orders.Aggregate(ctx, mongo.Pipeline{{{Key: "$match", Value: bson.M{"n": 9}}}})
	must(err)
	did("Aggregate", cursor.Close(ctx))
}

func manage(ctx context.Context, shop *mongo.Database, orders *mongo.Collection) {
	_, err := orders.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "name", Value: 1}}})
	did("CreateOne of Indexes", err)
	_, err = shop.ListCollectionNames(ctx, bson.M{})
	did("ListCollectionNames", err)
	did("RunCommand", shop.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err())
	did("Ping", shop.Client().Ping(ctx, nil))
	did("Drop", shop.Collection("other").Drop(ctx))
}

func failures(ctx context.Context, shop *mongo.Database, orders *mongo.Collection) {
	_, err := orders.InsertOne(ctx, bson.M{"_id": 1, "name": "secret"})
	did("InsertOne, there already", err)
	did("RunCommand, unknown", shop.RunCommand(ctx, bson.D{{Key: "frobnicate", Value: "secret"}}).Err())
	cancelled(ctx, orders)
	session, err := shop.Client().StartSession()
	must(err)
	defer session.EndSession(ctx)
	must(session.StartTransaction())
	err = mongo.WithSession(ctx, session, func(inside context.Context) error {
		_, err := orders.InsertOne(inside, bson.M{"_id": 7})
		return err
	})
	did("InsertOne in a transaction", err)
	did("AbortTransaction", session.AbortTransaction(ctx))
}

// request serves a request with a client of its own, whose goroutines are none of the request's.
func request(ctx context.Context, orders *mongo.Collection) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		url, ctx := os.Getenv("MONGO_URL"), r.Context()
		client, err := mongo.Connect(options.Client().ApplyURI(url).SetServerSelectionTimeout(10 * time.Second))
		must(err)
		must(client.Database("shop").Collection("orders").FindOne(ctx, bson.M{"_id": 1}).Err())
		must(client.Disconnect(ctx))
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	server.Shutdown(ctx)
}

// nowhere: there is no such server.
func nowhere(ctx context.Context) {
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://127.0.0.1:1/").SetServerSelectionTimeout(100 * time.Millisecond))
	must(err)
	did("FindOne, no server", client.Database("shop").Collection("orders").FindOne(ctx, bson.M{}).Err())
	must(client.Disconnect(ctx))
}
