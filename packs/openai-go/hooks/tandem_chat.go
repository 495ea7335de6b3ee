package openai

import (
	"context"

	"github.com/openai/openai-go/v3/packages/ssestream"
	tandem_genai "tandem/genai"
	tandem_rt "tandem/rt"
)

// This file makes the spans of chat completions. A whole one's span is current while it is waited for; a streamed one's
// only while it is sent.

var (
	tandemChatOp       = tandem_genai.NewOp("openai-go.chat", tandemScope)
	tandemChatStreamOp = tandem_genai.NewOp("openai-go.chat.stream", tandemScope)
)

// tandemChat begins the span of a whole answer.
func tandemChat(ctx context.Context, params *ChatCompletionNewParams) *tandem_rt.Span {
	if !tandemChatOp.On() {
		return nil
	}
	span := tandem_rt.Start(tandemChatOp, tandem_rt.FromContext(ctx))
	tandemDescribeChat(span, params)
	return span
}

func tandemDescribeChat(span *tandem_rt.Span, params *ChatCompletionNewParams) {
	request := tandem_genai.Request{
		Operation: tandem_genai.Chat, Provider: tandemProvider, Model: params.Model, MaxTokens: params.MaxCompletionTokens.Value,
		Temperature: params.Temperature.Value, HasTemperature: params.Temperature.Valid(),
		TopP: params.TopP.Value, HasTopP: params.TopP.Valid(),
	}
	if request.MaxTokens == 0 {
		request.MaxTokens = params.MaxTokens.Value
	}
	request.Describe(span)
}

// tandemChatEnd ends it.
func tandemChatEnd(span *tandem_rt.Span, result **ChatCompletion, err *error) {
	if span == nil {
		return
	}
	if *err != nil {
		tandemFail(span, *err)
		return
	}
	if completion := *result; completion != nil && span.Recording() {
		answer := tandem_genai.AnswerTo(span)
		answer.From(completion.Model, completion.ID)
		tandemUsed(answer, &completion.Usage)
		var reasons tandem_genai.Reasons
		for i := range completion.Choices {
			reasons.Add(completion.Choices[i].FinishReason)
		}
		reasons.Tell(span)
	}
	span.End()
}

// tandemChatOpen begins the span of a streamed answer.
func tandemChatOpen(ctx context.Context, params *ChatCompletionNewParams) (span, previous *tandem_rt.Span) {
	if !tandemChatStreamOp.On() {
		return nil, nil
	}
	span = tandem_rt.StartDetached(tandemChatStreamOp, tandem_rt.FromContext(ctx))
	tandemDescribeChat(span, params)
	return span, tandem_genai.Open(span)
}

// tandemChatOpened hands it to the stream.
func tandemChatOpened(span, previous *tandem_rt.Span, stream **ssestream.Stream[ChatCompletionChunk]) {
	tandem_genai.Sent(span, previous)
	ssestream.TandemFollow(*stream, span, tandemChatPiece)
}

// tandemChatPiece looks at a piece. Usage comes with the last one, if it was asked for.
func tandemChatPiece(stream *tandem_genai.Stream, piece *ChatCompletionChunk) {
	stream.From(piece.Model, piece.ID)
	if usage := &piece.Usage; usage.TotalTokens != 0 {
		stream.Usage(usage.PromptTokens, usage.CompletionTokens)
		stream.Cached(usage.PromptTokensDetails.CachedTokens, 0)
	}
	for i := range piece.Choices {
		stream.Reason(piece.Choices[i].FinishReason)
	}
}
