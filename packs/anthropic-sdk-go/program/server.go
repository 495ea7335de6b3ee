package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
)

// This file answers like the service, since the real one is far away and costs money. It speaks of words that no span may show.

// serve returns the service's address.
func serve() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, http.HandlerFunc(answer))
	return "http://" + listener.Addr().String() + "/"
}

var busy atomic.Int32

const usage = `"usage":{"input_tokens":11,"output_tokens":1,"cache_read_input_tokens":5,"cache_creation_input_tokens":3}`

func answer(w http.ResponseWriter, r *http.Request) {
	asked, _ := io.ReadAll(r.Body)
	is := func(what string) bool { return strings.Contains(string(asked), what) }
	streamed := is(`"stream":true`)
	w.Header().Set("Content-Type", "application/json")
	switch {
	case is("busy") && busy.Add(1)%2 == 1:
		w.Header().Set("Retry-After-Ms", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"type":"error","error":{"type":"rate_limit_error","message":"secret"}}`)
	case is("too-long"):
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"type":"error","error":{"type":"invalid_request_error","message":"secret: too long"}}`)
	case is("no-json"):
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"what":"secret"}`)
	case streamed && is("breaks"):
		events(w, start, `{"type":"error","error":{"type":"overloaded_error","message":"secret"}}`)
	case streamed:
		events(w, start, `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"secret"}}`,
			`{"type":"content_block_stop","index":0}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":22}}`,
			`{"type":"message_stop"}`)
	default:
		fmt.Fprint(w, `{"id":"msg-1","type":"message","role":"assistant","model":"talker-2026","content":[{"type":"text","text":"secret"}],"stop_reason":"max_tokens",`+usage+`}`)
	}
}

const start = `{"type":"message_start","message":{"id":"msg-2","type":"message","role":"assistant","model":"talker-2026","content":[],` + usage + `}}`

// events sends pieces.
func events(w http.ResponseWriter, pieces ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, piece := range pieces {
		kind, _, _ := strings.Cut(strings.TrimPrefix(piece, `{"type":"`), `"`)
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, piece)
		w.(http.Flusher).Flush()
	}
}
