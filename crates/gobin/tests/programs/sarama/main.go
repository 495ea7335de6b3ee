// What observers look for in sarama. Built by tests, never run.
package main

import (
	"context"
	"fmt"

	"github.com/IBM/sarama"
)

type handler struct{}

func (handler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		session.MarkMessage(message, "")
	}
	return nil
}

func main() {
	sync, err := sarama.NewSyncProducer([]string{"localhost:0"}, sarama.NewConfig())
	if err == nil {
		fmt.Println(sync.SendMessage(&sarama.ProducerMessage{Topic: "topic", Value: sarama.StringEncoder("value")}))
	}
	async, err := sarama.NewAsyncProducer([]string{"localhost:0"}, sarama.NewConfig())
	if err == nil {
		async.Input() <- &sarama.ProducerMessage{Topic: "topic"}
	}
	group, err := sarama.NewConsumerGroup([]string{"localhost:0"}, "group", sarama.NewConfig())
	if err == nil {
		fmt.Println(group.Consume(context.Background(), []string{"topic"}, handler{}))
	}
}
