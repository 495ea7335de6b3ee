// Command kernel is what the kernel half's cost is measured with: servers that somebody else saturates, and programs that
// keep themselves busy. It prints the address of its counters, and that of what it serves.
//
//	kernel http | grpc        a server
//	kernel redis ADDRESS      eight goroutines that ask a Redis server one thing after another
//	kernel calls FILE         one goroutine that makes system calls: ten short ones a span, and one that waits
//	kernel idle               a hundred spans a second
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	health_grpc "google.golang.org/grpc/health/grpc_health_v1"

	"example.com/bench/programs/paired"
	"example.com/bench/programs/serve"
)

var done atomic.Uint64

func main() {
	if len(os.Args) < 2 {
		log.Fatal("say what to do")
	}
	kind, argument := os.Args[1], ""
	if len(os.Args) > 2 {
		argument = os.Args[2]
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) { done.Add(1); serve.Hello(w, r) })
	mux.HandleFunc("GET /count", count)
	counters := listen()
	serves := counters
	switch kind {
	case "http":
	case "grpc":
		serves = listen()
		server := grpc.NewServer()
		health_grpc.RegisterHealthServer(server, healthy{})
		go func() { log.Fatal(server.Serve(serves)) }()
	case "redis":
		for i := 0; i < 8; i++ {
			go ask(argument)
		}
	case "calls":
		go call(argument)
	case "idle":
		go rest()
	default:
		log.Fatalf("there is no %q", kind)
	}
	fmt.Println(counters.Addr(), serves.Addr())
	log.Fatal(http.Serve(counters, mux))
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

// count says what has been done, and at what cost.
func count(w http.ResponseWriter, r *http.Request) {
	json.NewEncoder(w).Encode(map[string]any{"process": os.Getpid(), "done": done.Load(), "cpu": paired.CPU()})
}

type healthy struct {
	health_grpc.UnimplementedHealthServer
}

func (healthy) Check(context.Context, *health_grpc.HealthCheckRequest) (*health_grpc.HealthCheckResponse, error) {
	done.Add(1)
	return &health_grpc.HealthCheckResponse{Status: health_grpc.HealthCheckResponse_SERVING}, nil
}

func ask(address string) {
	client := redis.NewClient(&redis.Options{Addr: address, PoolSize: 1})
	for {
		if err := client.Incr(context.Background(), "counter").Err(); err != nil {
			log.Fatal(err)
		}
		done.Add(1)
	}
}

func call(name string) {
	file, err := os.Create(name)
	if err != nil {
		log.Fatal(err)
	}
	for {
		calls(int(file.Fd()))
		done.Add(1)
	}
}

//tandem:span calls
func calls(file int) {
	block := make([]byte, 512)
	for i := 0; i < 10; i++ {
		if _, err := syscall.Pwrite(file, block, int64(i*len(block))); err != nil {
			log.Fatal(err)
		}
	}
	short := syscall.NsecToTimespec(1000)
	syscall.Nanosleep(&short, nil)
}

func rest() {
	for range time.Tick(10 * time.Millisecond) {
		tick()
		done.Add(1)
	}
}

//tandem:span tick
func tick() { time.Sleep(time.Millisecond) }
