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
	return "http://" + listener.Addr().String() + "/v1/"
}

var busy atomic.Int32

const usage = `"usage":{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33,"prompt_tokens_details":{"cached_tokens":4}}`

func answer(w http.ResponseWriter, r *http.Request) {
	asked, _ := io.ReadAll(r.Body)
	is := func(what string) bool { return strings.Contains(string(asked), what) }
	streamed := is(`"stream":true`)
	w.Header().Set("Content-Type", "application/json")
	switch {
	case is("busy") && busy.Add(1)%2 == 1:
		w.Header().Set("Retry-After-Ms", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"error":{"message":"secret: come back","type":"requests","code":"rate_limit_exceeded"}}`)
	case is("too-long"):
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":{"message":"secret: too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`)
	case is("no-json"):
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<html>secret</html>`)
	case r.URL.Path == "/v1/embeddings":
		fmt.Fprint(w, `{"object":"list","model":"embedder-2026","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":7,"total_tokens":7}}`)
	case r.URL.Path == "/v1/completions" && streamed:
		events(w, `{"id":"cmpl-2","model":"writer-2026","choices":[{"text":"secret","index":0,"finish_reason":null}]}`,
			`{"id":"cmpl-2","model":"writer-2026","choices":[{"text":"","index":0,"finish_reason":"length"}],`+usage+`}`, `[DONE]`)
	case r.URL.Path == "/v1/completions":
		fmt.Fprint(w, `{"id":"cmpl-1","model":"writer-2026","choices":[{"text":"secret","index":0,"finish_reason":"stop"}],`+usage+`}`)
	case r.URL.Path == "/v1/responses" && streamed:
		events(w, `{"type":"response.created","response":{"id":"resp-2","model":"thinker-2026","status":"in_progress"}}`,
			`{"type":"response.output_text.delta","delta":"secret"}`,
			`{"type":"response.incomplete","response":{"id":"resp-2","model":"thinker-2026","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":5,"output_tokens":6,"total_tokens":11}}}`)
	case r.URL.Path == "/v1/responses":
		fmt.Fprint(w, `{"id":"resp-1","model":"thinker-2026","status":"completed","usage":{"input_tokens":5,"output_tokens":6,"total_tokens":11}}`)
	case streamed && is("breaks"):
		events(w, chunk(`"delta":{"content":"secret"},"finish_reason":null`), `{"error":{"message":"secret","type":"server_error","code":null}}`)
	case streamed:
		events(w, chunk(`"delta":{"content":"secret"},"finish_reason":null`), chunk(`"delta":{},"finish_reason":"stop"`),
			`{"id":"chat-2","object":"chat.completion.chunk","model":"talker-2026","choices":[],`+usage+`}`, `[DONE]`)
	default:
		fmt.Fprint(w, `{"id":"chat-1","object":"chat.completion","model":"talker-2026","choices":[
			{"index":0,"message":{"role":"assistant","content":"secret"},"finish_reason":"stop"},
			{"index":1,"message":{"role":"assistant","content":"secret"},"finish_reason":"length"}],`+usage+`}`)
	}
}

func chunk(choice string) string {
	return `{"id":"chat-2","object":"chat.completion.chunk","model":"talker-2026","choices":[{"index":0,` + choice + `}]}`
}

// events sends pieces.
func events(w http.ResponseWriter, pieces ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, piece := range pieces {
		fmt.Fprintf(w, "data: %s\n\n", piece)
		w.(http.Flusher).Flush()
	}
}
