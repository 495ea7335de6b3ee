// What observers look for in franz-go. Built by tests, never run.
package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	client, err := kgo.NewClient(kgo.SeedBrokers("localhost:0"), kgo.ConsumeTopics("topic"))
	if err != nil {
		panic(err)
	}
	record := &kgo.Record{Topic: "topic", Value: []byte("value")}
	fmt.Println(client.ProduceSync(context.Background(), record).FirstErr())
	client.Produce(context.Background(), record, func(*kgo.Record, error) {})
	fetches := client.PollFetches(context.Background())
	fetches.EachRecord(func(record *kgo.Record) { fmt.Println(record.Topic) })
}
