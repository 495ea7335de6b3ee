// Uses franz-go in all ways that the pack tells apart, on the Kafka at KAFKA_ADDR. Each operation prints a line; woven, each
// line is one span, or as many as it says.
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

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func did(operation string, err error) {
	text := "done"
	if err != nil {
		text = "failed"
	}
	fmt.Printf("%-40s %s\n", operation, text)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	address := os.Getenv("KAFKA_ADDR")
	if address == "" {
		log.Fatal("KAFKA_ADDR is not set")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic("orders"), kgo.UnknownTopicRetries(0))
	must(err)
	createTopics(ctx, client)
	produce(ctx, client)
	consume(ctx, address)
	request(ctx, address)
	client.Close()
	produceClosed(ctx, client)
}

func createTopics(ctx context.Context, client *kgo.Client) {
	for _, name := range []string{"orders", "news"} {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
		request := kmsg.NewPtrCreateTopicsRequest()
		request.Topics, request.TimeoutMillis = append(request.Topics, topic), 60000
		_, err := request.RequestWith(ctx, client)
		must(err)
	}
	for leaders := 0; leaders < 2; { // which takes a moment
		leaders = 0
		request := kmsg.NewPtrMetadataRequest()
		response, err := request.RequestWith(ctx, client)
		must(err)
		for _, topic := range response.Topics {
			for _, partition := range topic.Partitions {
				if partition.Leader >= 0 && *topic.Topic != "__consumer_offsets" {
					leaders++
				}
			}
		}
	}
}

func produce(ctx context.Context, client *kgo.Client) {
	did("ProduceSync", client.ProduceSync(ctx, &kgo.Record{Value: []byte("secret")}).FirstErr())
	header := kgo.RecordHeader{Key: "kind", Value: []byte("secret")}
	did("ProduceSync, two spans", client.ProduceSync(ctx, &kgo.Record{Headers: []kgo.RecordHeader{header}}, &kgo.Record{Topic: "news"}).FirstErr())
	again := &kgo.Record{Topic: "news"}
	produced := make(chan error)
	client.Produce(ctx, again, func(_ *kgo.Record, err error) { produced <- err })
	did("Produce", <-produced)
	client.TryProduce(ctx, again, func(_ *kgo.Record, err error) { produced <- err })
	did("TryProduce of the same record", <-produced)
	if len(again.Headers) != 1 {
		log.Fatal("the record has the headers of both times")
	}
	own := kgo.RecordHeader{Key: "traceparent", Value: []byte("00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01")}
	did("ProduceSync with a context", client.ProduceSync(ctx, &kgo.Record{Headers: []kgo.RecordHeader{own}}).FirstErr())
	did("ProduceSync, no such topic", client.ProduceSync(ctx, &kgo.Record{Topic: "nowhere"}).FirstErr())
	short, stop := context.WithCancel(ctx)
	stop()
	did("ProduceSync, cancelled", client.ProduceSync(short, &kgo.Record{Topic: "orders"}).FirstErr())
}

func consume(ctx context.Context, address string) {
	direct, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("news"))
	must(err)
	poll("PollFetches", 3, func() kgo.Fetches { return direct.PollFetches(ctx) })
	direct.Close()

	group, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("shippers"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(err)
	var records []*kgo.Record
	for i := 0; i < 3; i++ {
		records = append(records, poll("PollRecords in a group", 1, func() kgo.Fetches { return group.PollRecords(ctx, 1) })...)
	}
	did("CommitRecords", group.CommitRecords(ctx, records[:2]...))
	did("CommitUncommittedOffsets", group.CommitUncommittedOffsets(ctx))
	group.Close()
}

// poll polls until all records have come, which are produced already.
func poll(operation string, count int, fetch func() kgo.Fetches) (records []*kgo.Record) {
	for len(records) < count {
		fetches := fetch()
		must(fetches.Err())
		records = append(records, fetches.Records()...)
	}
	did(operation, nil)
	return records
}

// request serves a request with a new client, whose goroutines are none of the request's.
func request(ctx context.Context, address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic("news"))
		must(err)
		defer client.Close()
		did("ProduceSync in a request", client.ProduceSync(r.Context(), &kgo.Record{}).FirstErr())
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	server.Shutdown(ctx)
}
