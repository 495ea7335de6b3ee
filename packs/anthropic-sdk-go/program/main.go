// Messages of anthropic-sdk-go, whole, streamed and failing, of the stable API and of the beta. The service is in server.go.
package main

import (
	"context"
	"fmt"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/anthropics/anthropic-sdk-go/packages/ssestream"
)

func main() {
	ctx := context.Background()
	client := anthropic.NewClient(option.WithBaseURL(serve()), option.WithAPIKey("secret-key"))

	_, err := client.Messages.New(ctx, question("talker"))
	did("message", err)
	_, err = client.Messages.New(ctx, question("busy"))
	did("message, tried again", err)
	_, err = client.Messages.New(ctx, question("too-long"))
	did("message, refused", err)
	_, err = client.Messages.New(ctx, question("no-json"))
	did("message, refused by who knows whom", err)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = client.Messages.New(cancelled, question("talker"))
	did("message, cancelled", err)

	read("message", client.Messages.NewStreaming(ctx, question("talker")), -1)
	read("message, closed early", client.Messages.NewStreaming(ctx, question("talker")), 1)
	read("message, breaks", client.Messages.NewStreaming(ctx, question("breaks")), -1)
	read("message, refused", client.Messages.NewStreaming(ctx, question("too-long")), -1)

	beta := anthropic.BetaMessageNewParams{
		Model: "talker", MaxTokens: 50,
		Messages: []anthropic.BetaMessageParam{{
			Role:    anthropic.BetaMessageParamRoleUser,
			Content: []anthropic.BetaContentBlockParamUnion{{OfText: &anthropic.BetaTextBlockParam{Text: "secret question"}}},
		}},
	}
	_, err = client.Beta.Messages.New(ctx, beta)
	did("beta", err)
	read("beta", client.Beta.Messages.NewStreaming(ctx, beta), -1)
}

func question(model anthropic.Model) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model: model, MaxTokens: 50, Temperature: anthropic.Float(0.5),
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("secret question"))},
	}
}

// read reads a stream: so many pieces, or all.
func read[T any](what string, stream *ssestream.Stream[T], count int) {
	pieces := 0
	for pieces != count && stream.Next() {
		pieces++
	}
	err := stream.Err()
	if err == nil {
		stream.Close()
	}
	did(fmt.Sprintf("%s, streamed: %d pieces", what, pieces), err)
}

func did(what string, err error) {
	fmt.Printf("%-40s %v\n", what, err != nil)
}
