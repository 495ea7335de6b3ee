// What observers look for in kafka-go. Built by tests, never run.
package main

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
)

func main() {
	writer := &kafka.Writer{Addr: kafka.TCP("localhost:0"), Topic: "topic"}
	fmt.Println(writer.WriteMessages(context.Background(), kafka.Message{Value: []byte("value")}))
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{"localhost:0"}, Topic: "topic", GroupID: "group"})
	message, err := reader.FetchMessage(context.Background())
	fmt.Println(message, err)
	message, err = reader.ReadMessage(context.Background())
	fmt.Println(message, err, reader.CommitMessages(context.Background(), message))
}
