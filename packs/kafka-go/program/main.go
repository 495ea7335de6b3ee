// Uses kafka-go in all ways that the pack tells apart, on the Kafka at KAFKA_ADDR. Each operation prints a line; woven, each
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

	"github.com/segmentio/kafka-go"
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
	createTopics(ctx, address)
	write(ctx, address)
	read(ctx, address)
	request(ctx, address)
}

func createTopics(ctx context.Context, address string) {
	client := &kafka.Client{Addr: kafka.TCP(address)}
	for _, topic := range []string{"orders", "news"} {
		_, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}})
		must(err)
	}
	for leaders := 0; leaders < 2; { // which takes a moment
		leaders = 0
		known, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{"orders", "news"}})
		must(err)
		for _, topic := range known.Topics {
			for _, partition := range topic.Partitions {
				if partition.Error == nil && partition.Leader.Port != 0 {
					leaders++
				}
			}
		}
	}
}

func write(ctx context.Context, address string) {
	orders := &kafka.Writer{Addr: kafka.TCP(address), Topic: "orders", BatchTimeout: time.Millisecond}
	did("WriteMessages", orders.WriteMessages(ctx, kafka.Message{Value: []byte("secret")}))
	messages := []kafka.Message{{Value: []byte("secret")}, {Value: []byte("secret"), Headers: []kafka.Header{{Key: "kind", Value: []byte("secret")}}}}
	did("WriteMessages, two", orders.WriteMessages(ctx, messages...))
	if len(messages[0].Headers) != 0 || len(messages[1].Headers) != 1 {
		log.Fatal("the program's own messages have changed")
	}
	own := kafka.Header{Key: "traceparent", Value: []byte("00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01")}
	did("WriteMessages with a context", orders.WriteMessages(ctx, kafka.Message{Headers: []kafka.Header{own}}))
	did("Close", orders.Close())
	did("WriteMessages, closed", orders.WriteMessages(ctx, kafka.Message{}))

	several := &kafka.Writer{Addr: kafka.TCP(address), BatchTimeout: time.Millisecond}
	did("WriteMessages, two topics", several.WriteMessages(ctx, kafka.Message{Topic: "orders"}, kafka.Message{Topic: "news"}))
	did("WriteMessages, no such topic", several.WriteMessages(ctx, kafka.Message{Topic: "unknown"}))
	did("Close", several.Close())
}

func read(ctx context.Context, address string) {
	news := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{address}, Topic: "news", MaxWait: 100 * time.Millisecond})
	_, err := news.ReadMessage(ctx)
	did("ReadMessage", err)
	did("Close", news.Close())
	_, err = news.FetchMessage(ctx)
	did("FetchMessage, closed", err)

	orders := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{address}, Topic: "orders", GroupID: "shippers", MaxWait: 100 * time.Millisecond, StartOffset: kafka.FirstOffset})
	var messages []kafka.Message
	for i := 0; i < 3; i++ {
		message, err := orders.FetchMessage(ctx)
		did("FetchMessage in a group", err)
		messages = append(messages, message)
	}
	did("CommitMessages", orders.CommitMessages(ctx, messages...))
	_, err = orders.ReadMessage(ctx)
	did("ReadMessage in a group: poll, commit", err)
	did("Close", orders.Close())
}

// request serves a request with a new writer, whose goroutines are none of the request's.
func request(ctx context.Context, address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writer := &kafka.Writer{Addr: kafka.TCP(address), Topic: "news", BatchTimeout: time.Millisecond}
		defer writer.Close()
		did("WriteMessages in a request", writer.WriteMessages(r.Context(), kafka.Message{}))
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	server.Shutdown(ctx)
}
