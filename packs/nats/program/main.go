// Uses NATS and JetStream in all ways that the pack tells apart, on the server at NATS_URL. Each operation prints a line.
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

	"github.com/nats-io/nats.go"
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

func main() {
	url := os.Getenv("NATS_URL")
	if url == "" {
		log.Fatal("NATS_URL is not set")
	}
	nc, err := nats.Connect(url)
	must(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	plain(ctx, nc)
	requests(ctx, nc)
	failures(ctx, nc)
	streams(ctx, nc)
	for _, more := range moreOf {
		more(ctx, nc)
	}
	request(nc)
	nc.Close()
	did("Publish, closed", nc.Publish("orders.new", nil))
}

// moreOf are the uses of what not every version has.
var moreOf []func(context.Context, *nats.Conn)

// plain: one message after the other, each received before the next is sent.
func plain(ctx context.Context, nc *nats.Conn) {
	arrived := make(chan string)
	subscription, err := nc.Subscribe("orders.*", func(m *nats.Msg) { arrived <- m.Subject })
	must(err)
	did("Publish", nc.Publish("orders.new", []byte("secret")))
	<-arrived
	header := nats.NewMsg("orders.old")
	header.Header.Set("Kind", "secret")
	did("PublishMsg with a header", nc.PublishMsg(header))
	<-arrived
	own := nats.NewMsg("orders.own")
	own.Header.Set("Traceparent", "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01")
	did("PublishMsg with a context", nc.PublishMsg(own))
	<-arrived
	must(subscription.Unsubscribe())

	queue, err := nc.QueueSubscribe("jobs", "workers", func(m *nats.Msg) { arrived <- m.Subject })
	must(err)
	did("Publish to a queue", nc.Publish("jobs", nil))
	<-arrived
	must(queue.Unsubscribe())

	waiting, err := nc.SubscribeSync("news")
	must(err)
	did("Publish", nc.Publish("news", nil))
	_, err = waiting.NextMsg(10 * time.Second)
	did("NextMsg", err)
	did("Publish", nc.Publish("news", nil))
	_, err = waiting.NextMsgWithContext(ctx)
	did("NextMsgWithContext", err)
	_, err = waiting.NextMsg(time.Millisecond)
	did("NextMsg, nothing came", err)

	given := make(chan *nats.Msg, 1)
	channel, err := nc.ChanSubscribe("given", given)
	must(err)
	did("Publish to a channel", nc.Publish("given", nil))
	<-given
	must(channel.Unsubscribe())
}

func requests(ctx context.Context, nc *nats.Conn) {
	service, err := nc.Subscribe("service", func(m *nats.Msg) { must(m.Respond([]byte("secret"))) })
	must(err)
	_, err = nc.Request("service", nil, 10*time.Second)
	did("Request", err)
	_, err = nc.RequestWithContext(ctx, "service", nil)
	did("RequestWithContext", err)
	_, err = nc.RequestMsg(nats.NewMsg("service"), 10*time.Second)
	did("RequestMsg", err)
	must(service.Unsubscribe())
	_, err = nc.Request("nobody", nil, 10*time.Second)
	did("Request, nobody there", err)
}

func failures(ctx context.Context, nc *nats.Conn) {
	did("Publish, too large", nc.Publish("orders.new", make([]byte, 2<<20)))
	done, stop := context.WithTimeout(ctx, time.Millisecond)
	defer stop()
	silent, err := nc.SubscribeSync("silent")
	must(err)
	_, err = nc.RequestWithContext(done, "silent", nil)
	did("RequestWithContext, no answer", err)
	must(silent.Unsubscribe())
}

// streams: JetStream as the package nats has it.
func streams(ctx context.Context, nc *nats.Conn) {
	js, err := nc.JetStream()
	must(err)
	_, err = js.AddStream(&nats.StreamConfig{Name: "LEGACY", Subjects: []string{"legacy.*"}})
	did("AddStream, no span", err)
	for _, subject := range []string{"legacy.a", "legacy.b", "legacy.c"} {
		_, err = js.Publish(subject, []byte("secret"))
		did("JetStream Publish", err)
	}
	_, err = js.PublishAsync("legacy.d", nil)
	did("JetStream PublishAsync", err)
	<-js.PublishAsyncComplete()
	_, err = js.Publish("nowhere", nil, nats.AckWait(time.Second))
	did("JetStream Publish, no stream", err)
	pull, err := js.PullSubscribe("legacy.*", "puller")
	must(err)
	messages, err := pull.Fetch(3)
	did("Fetch", err)
	for _, m := range messages[:2] {
		did("Ack", m.Ack())
	}
	did("Nak", messages[2].Nak())
	must(pull.Unsubscribe())

	arrived := make(chan *nats.Msg)
	push, err := js.Subscribe("legacy.*", func(m *nats.Msg) { arrived <- m }, nats.Durable("pushed"), nats.ManualAck())
	must(err)
	for i := 0; i < 4; i++ {
		<-arrived
	}
	did("Subscribe", push.Unsubscribe())
}

// request serves a request with a new connection, whose goroutines are none of the request's.
func request(before *nats.Conn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	arrived := make(chan bool)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nc, err := nats.Connect(before.ConnectedUrl())
		must(err)
		defer nc.Close()
		_, err = nc.Subscribe("requested", func(m *nats.Msg) { arrived <- true })
		must(err)
		must(nc.Publish("requested", nil))
		<-arrived
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	server.Shutdown(context.Background())
}
