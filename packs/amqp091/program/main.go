// Uses RabbitMQ in all ways that the pack tells apart, on the server at AMQP_URL. Each operation prints a line.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

func did(operation string, err error) {
	text := "done"
	if err != nil {
		text = "failed"
	}
	fmt.Printf("%-36s %s\n", operation, text)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// moreOf are the uses of what not every version has.
var moreOf []func(context.Context, *amqp.Channel)

func main() {
	url := os.Getenv("AMQP_URL")
	if url == "" {
		log.Fatal("AMQP_URL is not set")
	}
	connection, err := amqp.Dial(url)
	must(err)
	ch, err := connection.Channel()
	must(err)
	must(ch.ExchangeDeclare("shop", "topic", false, true, false, false, nil))
	for _, queue := range []string{"orders", "jobs", "given"} {
		_, err = ch.QueueDeclare(queue, false, true, false, false, nil)
		must(err)
	}
	must(ch.QueueBind("orders", "order.#", "shop", false, nil))
	consume(ch)
	get(ch)
	temporary(ch)
	for _, more := range moreOf {
		more(context.Background(), ch)
	}
	request(url)
	must(ch.Close())
	did("Publish, closed", ch.Publish("", "jobs", false, false, amqp.Publishing{}))
	did("Ack, closed", ch.Ack(1, false))
	failures(connection)
	must(connection.Close())
}

// consume: one message after the other, each received before the next is sent.
func consume(ch *amqp.Channel) {
	deliveries, err := ch.Consume("orders", "shipper", false, false, false, false, nil)
	must(err)
	did("Publish to an exchange", ch.Publish("shop", "order.4711", false, false, amqp.Publishing{Body: []byte("secret")}))
	m := <-deliveries
	did("Ack", m.Ack(false))
	with := amqp.Publishing{ContentType: "text/plain", Headers: amqp.Table{"kind": "secret", "weight": int32(3)}}
	did("Publish with headers", ch.Publish("shop", "order.4712", false, false, with))
	m = <-deliveries
	if len(with.Headers) != 2 || m.Headers["kind"] != "secret" || m.Headers["weight"] != int32(3) {
		log.Fatalf("headers are %v", m.Headers)
	}
	did("Nack", m.Nack(false, false))
	own := amqp.Publishing{Headers: amqp.Table{"Traceparent": "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"}}
	did("Publish with a context", ch.Publish("shop", "order.4713", false, false, own))
	m = <-deliveries
	did("Reject", m.Reject(false))
	did("Publish", ch.Publish("shop", "order.4714", false, false, amqp.Publishing{}))
	m = <-deliveries
	did("Channel.Ack", ch.Ack(m.DeliveryTag, true))
	must(ch.Cancel("shipper", false))
}

func get(ch *amqp.Channel) {
	did("Publish to a queue", ch.Publish("", "jobs", false, false, amqp.Publishing{Body: []byte("secret")}))
	for found := false; !found; { // the server has it when it has it
		m, ok, err := ch.Get("jobs", true)
		if found = ok; !found {
			must(err)
			continue
		}
		did("Get", err)
		_ = m
	}
	_, _, err := ch.Get("jobs", true)
	did("Get, nothing there", err)
}

// temporary: a queue whose name the server makes up.
func temporary(ch *amqp.Channel) {
	queue, err := ch.QueueDeclare("", false, true, true, false, nil)
	must(err)
	deliveries, err := ch.Consume(queue.Name, "", true, false, false, false, nil)
	must(err)
	did("Publish to a temporary queue", ch.Publish("", queue.Name, false, false, amqp.Publishing{}))
	<-deliveries
}

func failures(connection *amqp.Connection) {
	ch, err := connection.Channel()
	must(err)
	_, _, err = ch.Get("nowhere", true)
	did("Get, no queue", err)
	did("Ack of nothing", amqp.Delivery{}.Ack(false))
}

// request serves a request with a new connection, whose goroutines are none of the request's.
func request(url string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection, err := amqp.Dial(url)
		must(err)
		defer connection.Close()
		ch, err := connection.Channel()
		must(err)
		deliveries, err := ch.Consume("given", "", true, false, false, false, nil)
		must(err)
		must(ch.Publish("", "given", false, false, amqp.Publishing{}))
		<-deliveries
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	server.Shutdown(context.Background())
}
