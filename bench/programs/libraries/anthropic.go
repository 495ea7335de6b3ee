package main

import (
	"context"
	"log"
	"net/http"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

// The figures have the span of the HTTP request in them; by hand (with otelhttp) that is all.
func init() {
	more = append(more, func(with instruments) call {
		transport := with.transport(answering(answered("application/json", `{"id":"msg-1","type":"message","role":"assistant","model":"talker-2026",`+
			`"content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","usage":{"input_tokens":11,"output_tokens":22}}`)))
		client := anthropic.NewClient(option.WithBaseURL("http://127.0.0.1:8080/"), option.WithAPIKey("none"),
			option.WithHTTPClient(&http.Client{Transport: transport}))
		return call{name: "anthropic-sdk-go", count: 250, spans: with.spans(2, 1), do: func(n int) {
			for ; n > 0; n-- {
				if _, err := client.Messages.New(context.Background(), anthropic.MessageNewParams{
					Model: "talker", MaxTokens: 50,
					Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hello?"))},
				}); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}
