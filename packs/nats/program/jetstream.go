package main

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func init() { moreOf = append(moreOf, packageJetstream) }

// packageJetstream: JetStream as its own package has it.
func packageJetstream(ctx context.Context, nc *nats.Conn) {
	js, err := jetstream.New(nc)
	must(err)
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"shop.*"}})
	did("CreateStream, no span", err)
	for _, subject := range []string{"shop.a", "shop.b", "shop.c"} {
		_, err = js.Publish(ctx, subject, []byte("secret"))
		did("jetstream Publish", err)
	}
	_, err = js.PublishAsync("shop.d", nil)
	did("jetstream PublishAsync", err)
	<-js.PublishAsyncComplete()
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "shipper", AckPolicy: jetstream.AckExplicitPolicy})
	must(err)
	batch, err := consumer.Fetch(2)
	must(err)
	for m := range batch.Messages() {
		did("Ack", m.Ack())
	}
	did("jetstream Fetch", batch.Error())
	m, err := consumer.Next()
	did("jetstream Consumer.Next", err)
	did("DoubleAck", m.DoubleAck(ctx))
	messages, err := consumer.Messages()
	must(err)
	m, err = messages.Next()
	did("jetstream Messages.Next", err)
	did("Term", m.Term())
	messages.Stop()

	arrived := make(chan bool)
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		must(m.Ack())
		arrived <- true
	})
	must(err)
	_, err = js.Publish(ctx, "shop.e", nil)
	did("jetstream Publish", err)
	<-arrived
	consuming.Stop()
	did("jetstream Consume", nil)

	bucket, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "prices"})
	must(err)
	_, err = bucket.Put(ctx, "secret", nil)
	did("KeyValue.Put", err)
	_, err = bucket.Get(ctx, "secret")
	did("KeyValue.Get, no span", err)
}
