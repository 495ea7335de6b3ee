package main

import (
	"context"
	"log"

	"github.com/twmb/franz-go/pkg/kgo"
)

// franzByHand instruments a client.
var franzByHand func() kgo.Opt

func init() {
	more = append(more, func(with instruments) call {
		options := []kgo.Opt{
			kgo.SeedBrokers("kafka.example.com:9092"), kgo.DefaultProduceTopic(kafkaTopic), kgo.Dialer(newKafka().DialContext),
			kgo.ProducerLinger(0), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()),
		}
		if with.byHand {
			options = append(options, franzByHand())
		}
		client, err := kgo.NewClient(options...)
		if err != nil {
			log.Fatal(err)
		}
		return call{name: "franz-go", count: 250, spans: 1, do: func(n int) {
			for ; n > 0; n-- {
				if err := client.ProduceSync(context.Background(), &kgo.Record{Value: []byte("hello")}).FirstErr(); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
