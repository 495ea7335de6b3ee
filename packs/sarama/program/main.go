// Uses sarama in all ways that the pack tells apart, on the Kafka at KAFKA_ADDR. Each operation prints a line; woven, each line
// is one span, or as many as it says, besides one for each message consumed.
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

	"github.com/IBM/sarama"
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
	brokers := []string{address}
	config := sarama.NewConfig()
	config.Version = sarama.V2_1_0_0
	config.Producer.Return.Successes = true
	config.Producer.Return.Errors = true
	config.Metadata.AllowAutoTopicCreation = false
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	createTopics(brokers, config)
	produce(brokers, config)
	produceAsync(brokers, config)
	consume(brokers, config)
	consumeInGroup(brokers, config)
	request(brokers, config)
}

func createTopics(brokers []string, config *sarama.Config) {
	admin, err := sarama.NewClusterAdmin(brokers, config)
	must(err)
	defer admin.Close()
	for _, topic := range []string{"orders", "news"} {
		must(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false))
	}
}

func produce(brokers []string, config *sarama.Config) {
	producer, err := sarama.NewSyncProducer(brokers, config)
	must(err)
	message := &sarama.ProducerMessage{Topic: "orders", Value: sarama.StringEncoder("secret")}
	_, _, err = producer.SendMessage(message)
	did("SendMessage", err)
	_, _, err = producer.SendMessage(message)
	did("SendMessage, the same again", err)
	if len(message.Headers) != 1 {
		log.Fatal("the message has the headers of both times")
	}
	header := sarama.RecordHeader{Key: []byte("kind"), Value: []byte("secret")}
	did("SendMessages, two topics", producer.SendMessages([]*sarama.ProducerMessage{{Topic: "orders", Headers: []sarama.RecordHeader{header}}, {Topic: "news"}}))
	own := sarama.RecordHeader{Key: []byte("traceparent"), Value: []byte("00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01")}
	_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: "orders", Headers: []sarama.RecordHeader{own}})
	did("SendMessage with a context", err)
	_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: "orders", Value: sarama.ByteEncoder(make([]byte, 2<<20))})
	did("SendMessage, too large", err)
	_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: "nowhere"})
	did("SendMessage, no such topic", err)
	must(producer.Close())
}

func produceAsync(brokers []string, config *sarama.Config) {
	producer, err := sarama.NewAsyncProducer(brokers, config)
	must(err)
	producer.Input() <- &sarama.ProducerMessage{Topic: "news", Value: sarama.StringEncoder("secret")}
	<-producer.Successes()
	did("AsyncProducer", nil)
	producer.Input() <- &sarama.ProducerMessage{Topic: "nowhere"}
	did("AsyncProducer, no such topic", (<-producer.Errors()).Err)
	must(producer.Close())
}

func consume(brokers []string, config *sarama.Config) {
	consumer, err := sarama.NewConsumer(brokers, config)
	must(err)
	partition, err := consumer.ConsumePartition("news", 0, sarama.OffsetOldest)
	must(err)
	for i := 0; i < 2; i++ {
		<-partition.Messages()
		did("ConsumePartition", nil)
	}
	must(partition.Close())
	must(consumer.Close())
}

type handler struct{ stop func() }

func (handler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for i := 0; i < 4; i++ {
		session.MarkMessage(<-claim.Messages(), "")
		did("ConsumeClaim", nil)
	}
	h.stop()
	return nil
}

func consumeInGroup(brokers []string, config *sarama.Config) {
	group, err := sarama.NewConsumerGroup(brokers, "shippers", config)
	must(err)
	ctx, stop := context.WithCancel(context.Background())
	must(group.Consume(ctx, []string{"orders"}, handler{stop}))
	must(group.Close())
}

// request serves a request with a new producer, whose goroutines are none of the request's.
func request(brokers []string, config *sarama.Config) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		producer, err := sarama.NewSyncProducer(brokers, config)
		must(err)
		defer producer.Close()
		_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: "news"})
		did("SendMessage in a request", err)
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server.Shutdown(ctx)
}
