// Enqueues tasks with asynq and processes them in all ways that the pack tells apart, on the server at REDIS_ADDR.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hibiken/asynq"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func did(operation string, err error) {
	text := "done"
	if err != nil {
		text = "failed"
	}
	fmt.Printf("%-32s %s\n", operation, text)
}

func main() {
	address := os.Getenv("REDIS_ADDR")
	if address == "" {
		log.Fatal("REDIS_ADDR is not set")
	}
	redis := asynq.RedisClientOpt{Addr: address}
	client := asynq.NewClient(redis)
	ctx := context.Background()
	enqueue(ctx, client)
	request(client)
	process(redis, client)
	must(client.Close())
	_, err := client.Enqueue(asynq.NewTask("mail:closed", nil, asynq.TaskID("closed")))
	did("enqueued, closed", err)
}

// tries is how often all these tasks together are tried.
const tries = 7

func enqueue(ctx context.Context, client *asynq.Client) {
	_, err := client.EnqueueContext(ctx, asynq.NewTask("mail:welcome", []byte("secret"), asynq.TaskID("welcome")))
	did("enqueued", err)
	_, err = client.Enqueue(asynq.NewTask("mail:failing", []byte("secret"), asynq.TaskID("failing")), asynq.MaxRetry(1))
	did("enqueued, fails once", err)
	_, err = client.Enqueue(asynq.NewTask("mail:panicking", []byte("secret"), asynq.TaskID("panicking")), asynq.MaxRetry(0))
	did("enqueued, panics", err)
	_, err = client.Enqueue(asynq.NewTask("mail:unknown", []byte("secret"), asynq.TaskID("unknown")), asynq.MaxRetry(0))
	did("enqueued, no handler", err)
	_, err = client.Enqueue(asynq.NewTask("mail:once", []byte("secret")), asynq.TaskID("once"))
	did("enqueued, with an id", err)
	_, err = client.Enqueue(asynq.NewTask("mail:once", []byte("secret")), asynq.TaskID("once"))
	did("enqueued, again", err)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = client.EnqueueContext(gone, asynq.NewTask("mail:cancelled", nil, asynq.TaskID("cancelled")))
	did("enqueued, cancelled", err)
}

// request enqueues a task while it serves a request.
func request(client *asynq.Client) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := client.EnqueueContext(r.Context(), asynq.NewTask("mail:requested", []byte("secret"), asynq.TaskID("requested")))
		must(err)
	})}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	must(err)
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	must(server.Shutdown(context.Background()))
}

// process has all tasks be processed, one at a time, and then one that is to wait.
func process(redis asynq.RedisClientOpt, client *asynq.Client) {
	done := make(chan bool, tries)
	failed := false
	mux := asynq.NewServeMux()
	mux.HandleFunc("mail:", func(ctx context.Context, task *asynq.Task) error {
		defer func() { done <- true }()
		switch task.Type() {
		case "mail:failing":
			if !failed {
				failed = true
				return errors.New("no secret mail today")
			}
		case "mail:panicking":
			panic("secret")
		case "mail:unknown":
			return fmt.Errorf("nobody knows it: %w", asynq.SkipRetry)
		}
		return nil
	})
	server := asynq.NewServer(redis, asynq.Config{
		Concurrency:              1,
		Queues:                   map[string]int{"default": 2, "slow": 1},
		StrictPriority:           true,
		LogLevel:                 asynq.FatalLevel,
		DelayedTaskCheckInterval: 100 * time.Millisecond,
		RetryDelayFunc:           func(int, error, *asynq.Task) time.Duration { return 0 },
	})
	must(server.Start(mux))
	for i := 0; i < tries; i++ {
		<-done
	}
	_, err := client.Enqueue(asynq.NewTask("mail:later", []byte("secret"), asynq.TaskID("later")), asynq.ProcessIn(time.Millisecond), asynq.Queue("slow"))
	did("enqueued for later", err)
	<-done
	server.Shutdown()
}
