// Uses rueidis in all ways that the pack tells apart, on the server at REDIS_ADDR. Each operation prints a line.
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

	"github.com/redis/rueidis"
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
	address := os.Getenv("REDIS_ADDR")
	if address == "" {
		log.Fatal("REDIS_ADDR is not set")
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{address}, ForceSingleClient: true, DisableRetry: true})
	must(err)
	ctx := context.Background()
	commands(ctx, client)
	pipelines(ctx, client)
	cached(ctx, client)
	dedicated(ctx, client)
	messages(ctx, client)
	request(client)
	failures(ctx, client)
	client.Close()
	did("GET, closed", client.Do(ctx, client.B().Get().Key("secret").Build()).Error())
}

func commands(ctx context.Context, client rueidis.Client) {
	did("SET", client.Do(ctx, client.B().Set().Key("secret").Value("secret").Build()).Error())
	did("GET", client.Do(ctx, client.B().Get().Key("secret").Build()).Error())
	did("GET, nothing there", client.Do(ctx, client.B().Get().Key("nothing").Build()).Error())
	did("MGET", client.Do(ctx, client.B().Mget().Key("a", "b", "c").Build()).Error())
	did("Arbitrary", client.Do(ctx, client.B().Arbitrary("lolwut").Build()).Error())
	did("BLPOP", client.Do(ctx, client.B().Blpop().Key("empty").Timeout(0.01).Build()).Error())
}

func pipelines(ctx context.Context, client rueidis.Client) {
	for _, answer := range client.DoMulti(ctx, client.B().Set().Key("a").Value("secret").Build(), client.B().Get().Key("a").Build()) {
		did("DoMulti", answer.Error())
	}
	for _, answer := range client.DoMulti(ctx, client.B().Incr().Key("n").Build(), client.B().Incr().Key("n").Build()) {
		did("DoMulti of one kind", answer.Error())
	}
	did("DoMulti of one", client.DoMulti(ctx, client.B().Get().Key("a").Build())[0].Error())
}

func cached(ctx context.Context, client rueidis.Client) {
	did("DoCache", client.DoCache(ctx, client.B().Get().Key("secret").Cache(), time.Minute).Error())
	again := client.DoCache(ctx, client.B().Get().Key("secret").Cache(), time.Minute)
	if !again.IsCacheHit() {
		log.Fatal("this is not from memory")
	}
	did("DoCache from memory", again.Error())
	for _, answer := range client.DoMultiCache(ctx, rueidis.CT(client.B().Get().Key("a").Cache(), time.Minute), rueidis.CT(client.B().Get().Key("n").Cache(), time.Minute)) {
		did("DoMultiCache", answer.Error())
	}
}

func dedicated(ctx context.Context, client rueidis.Client) {
	must(client.Dedicated(func(own rueidis.DedicatedClient) error {
		did("WATCH, dedicated", own.Do(ctx, own.B().Watch().Key("n").Build()).Error())
		answers := own.DoMulti(ctx, own.B().Multi().Build(), own.B().Incr().Key("n").Build(), own.B().Incr().Key("m").Build(), own.B().Exec().Build())
		did("MULTI, dedicated", answers[len(answers)-1].Error())
		return nil
	}))
}

func messages(ctx context.Context, client rueidis.Client) {
	listen(ctx, client, "news", client.B().Subscribe().Channel("news").Build())
	// Another channel: a subscription that has ended may still be counted for a moment.
	listen(ctx, client, "weather", client.B().Psubscribe().Pattern("weath??").Build())
}

// listen subscribes until it has heard one message.
func listen(ctx context.Context, client rueidis.Client, channel string, subscribe rueidis.Completed) {
	until, cancel := context.WithCancel(ctx)
	arrived, ended := make(chan bool), make(chan error)
	go func() {
		ended <- client.Receive(until, subscribe, func(rueidis.PubSubMessage) {
			select {
			case arrived <- true:
			case <-until.Done():
			}
		})
	}()
	for heard := int64(0); heard == 0; { // until it has subscribed
		heard = publish(channel, "secret")
	}
	<-arrived
	cancel()
	<-ended
	did("Receive", nil)
}

// publish says it to whoever hears it, on a connection without spans.
func publish(channel, text string) (heard int64) {
	connection, err := net.Dial("tcp", os.Getenv("REDIS_ADDR"))
	must(err)
	defer connection.Close()
	fmt.Fprintf(connection, "PUBLISH %s %s\r\n", channel, text)
	_, err = fmt.Fscanf(connection, ":%d\r\n", &heard)
	must(err)
	return heard
}

func failures(ctx context.Context, client rueidis.Client) {
	did("LPUSH to a text", client.Do(ctx, client.B().Lpush().Key("secret").Element("secret").Build()).Error())
	did("FROBNICATE", client.Do(ctx, client.B().Arbitrary("FROBNICATE").Args("secret").Build()).Error())
	for _, answer := range client.DoMulti(ctx, client.B().Get().Key("nothing").Build(), client.B().Lpush().Key("secret").Element("secret").Build()) {
		did("DoMulti, one fails", answer.Error())
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	did("GET, cancelled", client.Do(done, client.B().Get().Key("secret").Build()).Error())
	_, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"127.0.0.1:1"}, ForceSingleClient: true})
	did("NewClient, no server, no span", err)
}

// request serves a request with a client of its own, whose goroutines are none of the request's.
func request(r rueidis.Client) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{os.Getenv("REDIS_ADDR")}, ForceSingleClient: true})
		must(err)
		defer client.Close()
		must(client.Do(r.Context(), client.B().Get().Key("secret").Build()).Error())
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	server.Shutdown(context.Background())
}
