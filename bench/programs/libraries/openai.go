package main

import (
	"context"
	"log"
	"net/http"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// The figures have the span of the HTTP request in them; by hand (with otelhttp) that is all.
func init() {
	more = append(more, func(with instruments) call {
		transport := with.transport(answering(answered("application/json", `{"id":"chat-1","object":"chat.completion","model":"talker-2026",`+
			`"choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],`+
			`"usage":{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33}}`)))
		client := openai.NewClient(option.WithBaseURL("http://127.0.0.1:8080/v1/"), option.WithAPIKey("none"),
			option.WithHTTPClient(&http.Client{Transport: transport}))
		return call{name: "openai-go", count: 250, spans: with.spans(2, 1), do: func(n int) {
			for ; n > 0; n-- {
				if _, err := client.Chat.Completions.New(context.Background(), openai.ChatCompletionNewParams{
					Model: "talker", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hello?")},
				}); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
