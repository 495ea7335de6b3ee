// Every operation of openai-go that its pack makes a span of, whole, streamed and failing. The service is in server.go.
package main

import (
	"context"
	"fmt"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"
)

func main() {
	ctx := context.Background()
	client := openai.NewClient(option.WithBaseURL(serve()), option.WithAPIKey("secret-key"))

	_, err := client.Chat.Completions.New(ctx, chat("talker", "secret question"))
	did("chat", err)
	_, err = client.Chat.Completions.New(ctx, chat("busy", "secret question"))
	did("chat, tried again", err)
	_, err = client.Chat.Completions.New(ctx, chat("too-long", "secret question"))
	did("chat, refused", err)
	_, err = client.Chat.Completions.New(ctx, chat("no-json", "secret question"))
	did("chat, refused by who knows whom", err)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = client.Chat.Completions.New(cancelled, chat("talker", "secret question"))
	did("chat, cancelled", err)
	nobody := openai.NewClient(option.WithBaseURL("http://127.0.0.1:1/v1/"), option.WithAPIKey("secret-key"), option.WithMaxRetries(0))
	_, err = nobody.Chat.Completions.New(ctx, chat("talker", "secret question"))
	did("chat, nobody there", err)

	read("chat", client.Chat.Completions.NewStreaming(ctx, chat("talker", "secret question")), -1)
	read("chat, closed early", client.Chat.Completions.NewStreaming(ctx, chat("talker", "secret question")), 1)
	read("chat, breaks", client.Chat.Completions.NewStreaming(ctx, chat("breaks", "secret question")), -1)
	read("chat, refused", client.Chat.Completions.NewStreaming(ctx, chat("too-long", "secret question")), -1)

	text := openai.CompletionNewParams{Model: "writer", MaxTokens: openai.Int(9), Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("secret")}}
	_, err = client.Completions.New(ctx, text)
	did("text", err)
	read("text", client.Completions.NewStreaming(ctx, text), -1)

	_, err = client.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: "embedder", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("secret")}})
	did("embedding", err)

	question := responses.ResponseNewParams{Model: "thinker", MaxOutputTokens: openai.Int(6), Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("secret")}}
	_, err = client.Responses.New(ctx, question)
	did("response", err)
	read("response", client.Responses.NewStreaming(ctx, question), -1)
	question.Model = "too-long"
	_, err = client.Responses.New(ctx, question)
	did("response, refused", err)
}

func chat(model, question string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:               model,
		Messages:            []openai.ChatCompletionMessageParamUnion{openai.UserMessage(question)},
		MaxCompletionTokens: openai.Int(50),
		Temperature:         openai.Float(0.5),
	}
}

// read reads a stream: so many pieces, or all.
func read[T any](what string, stream *ssestream.Stream[T], count int) {
	pieces := 0
	for pieces != count && stream.Next() {
		pieces++
	}
	err := stream.Err()
	stream.Close()
	did(fmt.Sprintf("%s, streamed: %d pieces", what, pieces), err)
}

func did(what string, err error) {
	fmt.Printf("%-40s %v\n", what, err != nil)
}
