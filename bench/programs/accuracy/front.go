package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"sync"

	"example.com/bench/programs/nothing"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
)

// workers serve all requests of the front, through a channel.
const workers = 32

// front serves requests, each of which makes every kind of call.
func front(plain, calls string) {
	connection, err := grpc.NewClient(calls, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	f := &caller{backend: "http://" + plain, client: &http.Client{Transport: transport}, leaf: connection,
		database: sql.OpenDB(nothing.Database{}), jobs: make(chan job)}
	for range workers {
		go f.work()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /work", f.serve)
	// One call, for whoever wants to know whether both programs are observed.
	mux.HandleFunc("GET /warm", func(w http.ResponseWriter, r *http.Request) {
		if err := f.get(r.Context(), -1, "warm"); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})
	listener := listen()
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}

type caller struct {
	backend  string
	client   *http.Client
	leaf     *grpc.ClientConn
	database *sql.DB
	jobs     chan job
}

// job is a call that a worker makes for a request.
type job struct {
	ctx  context.Context
	id   int
	done chan<- error
}

// serve makes the calls of one request: by its own goroutine, by one that it starts, and by a worker that is handed the
// request's context.
func (f *caller) serve(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.URL.Query().Get("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx := r.Context()
	var child error
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		child = f.get(ctx, id, "child")
	}()
	done := make(chan error, 1)
	f.jobs <- job{ctx, id, done}
	err = errors.Join(f.get(ctx, id, "direct"), f.query(ctx, id), f.call(ctx, id), <-done)
	group.Wait()
	if err = errors.Join(err, child); err != nil {
		log.Print(err)
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

func (f *caller) work() {
	for next := range f.jobs {
		next.done <- f.get(next.ctx, next.id, "pool")
	}
}

func (f *caller) get(ctx context.Context, id int, how string) error {
	request, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("%s/leaf?id=%d&how=%s", f.backend, id, how), nil)
	if err != nil {
		return err
	}
	answer, err := f.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func (f *caller) query(ctx context.Context, id int) error {
	var name string
	return f.database.QueryRowContext(ctx, fmt.Sprintf("SELECT request_%d FROM leaves", id)).Scan(&name)
}

func (f *caller) call(ctx context.Context, id int) error {
	return f.leaf.Invoke(ctx, "/"+leafService+"/"+leafMethod(id), new(emptypb.Empty), new(emptypb.Empty))
}
