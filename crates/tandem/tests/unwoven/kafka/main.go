// A program that nobody has woven, which sends a message to Kafka for each request that it serves, by one of three clients. The
// topic bears the request's number, so that whoever reads the spans knows whose child each must be.
//
// Told the broker's address, it makes the topics and prints its own address; makes requests for itself when it is told to (a
// line of standard input: how many), answers that with "done", and ends when standard input does.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// mostCalls is how many topics there are.
const mostCalls = 30

func main() {
	broker := os.Args[1]
	connection, err := kafka.Dial("tcp", broker)
	check(err)
	for n := 0; n < mostCalls; n++ {
		check(connection.CreateTopics(kafka.TopicConfig{Topic: topic(n), NumPartitions: 1, ReplicationFactor: 1}))
	}
	connection.Close()
	writer := &kafka.Writer{Addr: kafka.TCP(broker), BatchSize: 1}
	configuration := sarama.NewConfig()
	configuration.Producer.Return.Successes = true
	producer, err := sarama.NewSyncProducer([]string{broker}, configuration)
	check(err)
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	check(err)
	mux := http.NewServeMux()
	for path, send := range map[string]func(ctx context.Context, topic string) error{
		"kafka-go": func(ctx context.Context, topic string) error {
			return writer.WriteMessages(ctx, kafka.Message{Topic: topic, Value: []byte("value")})
		},
		"sarama": func(_ context.Context, topic string) error {
			_, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("value")})
			return err
		},
		"franz-go": func(ctx context.Context, topic string) error {
			return client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("value")}).FirstErr()
		},
	} {
		mux.HandleFunc("/"+path, func(w http.ResponseWriter, r *http.Request) {
			if err := send(r.Context(), "call"+r.URL.RawQuery); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go http.Serve(listener, mux)
	fmt.Println(listener.Addr())
	paths := []string{"kafka-go", "sarama", "franz-go"}
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var count int
		fmt.Sscan(input.Text(), &count)
		var wait sync.WaitGroup
		for n := range count {
			wait.Go(func() { ask(listener.Addr().String(), fmt.Sprintf("/%s?%d", paths[n%len(paths)], n)) })
		}
		wait.Wait()
		fmt.Println("done")
	}
}

func topic(n int) string { return fmt.Sprintf("call%d", n) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// ask makes a request without net/http, which would make a span of it.
func ask(address, path string) {
	connection, err := net.Dial("tcp", address)
	check(err)
	defer connection.Close()
	fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: front.example\r\nConnection: close\r\n\r\n", path)
	_, err = io.Copy(io.Discard, connection)
	check(err)
}
