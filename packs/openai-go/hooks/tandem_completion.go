package openai

import (
	"context"

	"github.com/openai/openai-go/v3/packages/ssestream"
	tandem_genai "tandem/genai"
	tandem_rt "tandem/rt"
)

// This file makes the spans of text completions, as tandem_chat.go does those of chats.

var (
	tandemCompletionOp       = tandem_genai.NewOp("openai-go.completion", tandemScope)
	tandemCompletionStreamOp = tandem_genai.NewOp("openai-go.completion.stream", tandemScope)
)

// tandemCompletion begins the span of a whole answer.
func tandemCompletion(ctx context.Context, params *CompletionNewParams) *tandem_rt.Span {
	if !tandemCompletionOp.On() {
		return nil
	}
	span := tandem_rt.Start(tandemCompletionOp, tandem_rt.FromContext(ctx))
	tandemDescribeCompletion(span, params)
	return span
}

func tandemDescribeCompletion(span *tandem_rt.Span, params *CompletionNewParams) {
	request := tandem_genai.Request{
		Operation: tandem_genai.TextCompletion, Provider: tandemProvider, Model: string(params.Model), MaxTokens: params.MaxTokens.Value,
		Temperature: params.Temperature.Value, HasTemperature: params.Temperature.Valid(),
		TopP: params.TopP.Value, HasTopP: params.TopP.Valid(),
	}
	request.Describe(span)
}

// tandemCompletionEnd ends it.
func tandemCompletionEnd(span *tandem_rt.Span, result **Completion, err *error) {
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
			reasons.Add(string(completion.Choices[i].FinishReason))
		}
		reasons.Tell(span)
	}
	span.End()
}

// tandemCompletionOpen begins the span of a streamed answer.
func tandemCompletionOpen(ctx context.Context, params *CompletionNewParams) (span, previous *tandem_rt.Span) {
	if !tandemCompletionStreamOp.On() {
		return nil, nil
	}
	span = tandem_rt.StartDetached(tandemCompletionStreamOp, tandem_rt.FromContext(ctx))
	tandemDescribeCompletion(span, params)
	return span, tandem_genai.Open(span)
}

// tandemCompletionOpened hands it to the stream.
func tandemCompletionOpened(span, previous *tandem_rt.Span, stream **ssestream.Stream[Completion]) {
	tandem_genai.Sent(span, previous)
	ssestream.TandemFollow(*stream, span, tandemCompletionPiece)
}

// tandemCompletionPiece looks at a piece.
func tandemCompletionPiece(stream *tandem_genai.Stream, piece *Completion) {
	stream.From(piece.Model, piece.ID)
	if usage := &piece.Usage; usage.TotalTokens != 0 {
		stream.Usage(usage.PromptTokens, usage.CompletionTokens)
	}
	for i := range piece.Choices {
		stream.Reason(string(piece.Choices[i].FinishReason))
	}
}
