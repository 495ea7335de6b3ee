package main

import (
	"context"
	"log"

	"github.com/segmentio/kafka-go"
)

func init() {
	more = append(more, func(instruments) call {
		writer := &kafka.Writer{
			Addr: kafka.TCP("kafka.example.com:9092"), Topic: kafkaTopic, BatchSize: 1, RequiredAcks: kafka.RequireOne,
			Transport: &kafka.Transport{Dial: newKafka().DialContext},
		}
		return call{name: "kafka-go", count: 250, spans: 1, bare: true, do: func(n int) {
			for ; n > 0; n-- {
				if err := writer.WriteMessages(context.Background(), kafka.Message{Value: []byte("hello")}); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
