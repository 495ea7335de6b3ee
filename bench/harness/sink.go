package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// The sink takes OTLP over HTTP, counts the spans and log records and forgets them. It is a process of its own, on the other core.

type sink struct {
	*running
	url string
}

func (b *bench) startSink() (*sink, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	started, err := b.start(pinned(otherCore, self, "sink"))
	if err != nil {
		return nil, err
	}
	return &sink{started, "http://" + started.line}, nil
}

// environment makes a program, or its agent, send its spans to the sink.
func (s *sink) environment() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + s.url, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_TRACES_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=none"}
}

// spans is how many spans have arrived.
func (s *sink) spans() int64 { return s.count("/spans") }

// logRecords is how many log records have arrived.
func (s *sink) logRecords() int64 { return s.count("/logs") }

func (s *sink) count(path string) int64 {
	answer, err := http.Get(s.url + path)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	count, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return count
}

func serveSink() {
	var spans, logs atomic.Int64
	mux := http.NewServeMux()
	takeInto := func(count *atomic.Int64) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			count.Add(countItems(body))
			w.Header().Set("Content-Type", "application/x-protobuf")
		}
	}
	mux.HandleFunc("/v1/traces", takeInto(&spans))
	mux.HandleFunc("/v1/logs", takeInto(&logs))
	mux.HandleFunc("/v1/metrics", func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	mux.HandleFunc("/spans", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, spans.Load()) })
	mux.HandleFunc("/logs", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, logs.Load()) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}

// countItems counts in an ExportTraceServiceRequest: resource_spans (1) → scope_spans (2) → spans (2). Log records lie in
// the same places of theirs.
func countItems(request []byte) (count int64) {
	fields(request, 1, func(resource []byte) {
		fields(resource, 2, func(scope []byte) {
			fields(scope, 2, func([]byte) { count++ })
		})
	})
	return count
}

// fields calls visit for each length-delimited field of that number in a protobuf message.
func fields(message []byte, number uint64, visit func([]byte)) {
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 {
			return
		}
		message = message[size:]
		skip := 0
		switch tag & 7 {
		case 0:
			_, skip = binary.Uvarint(message)
		case 1:
			skip = 8
		case 5:
			skip = 4
		case 2:
			length, size := binary.Uvarint(message)
			if size <= 0 || length > uint64(len(message)-size) {
				return
			}
			if skip = size + int(length); tag>>3 == number {
				visit(message[size:skip])
			}
		}
		if skip <= 0 || skip > len(message) {
			return
		}
		message = message[skip:]
	}
}
