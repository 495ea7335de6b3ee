package anthropic

import (
	"context"

	"github.com/anthropics/anthropic-sdk-go/packages/ssestream"
	tandem_genai "tandem/genai"
	tandem_rt "tandem/rt"
)

// This file makes the spans of messages. A whole answer's span is current while it is waited for; a streamed one's only
// while it is sent.

var (
	tandemMessageOp       = tandem_genai.NewOp("anthropic-sdk-go.message", tandemScope)
	tandemMessageStreamOp = tandem_genai.NewOp("anthropic-sdk-go.message.stream", tandemScope)
)

// tandemAsk begins the span of a whole answer.
func tandemAsk(ctx context.Context, params *MessageNewParams) *tandem_rt.Span {
	if !tandemMessageOp.On() {
		return nil
	}
	span := tandem_rt.Start(tandemMessageOp, tandem_rt.FromContext(ctx))
	tandemDescribe(span, params)
	return span
}

func tandemDescribe(span *tandem_rt.Span, params *MessageNewParams) {
	request := tandem_genai.Request{
		Operation: tandem_genai.Chat, Provider: tandemProvider, Model: string(params.Model), MaxTokens: params.MaxTokens,
		Temperature: params.Temperature.Value, HasTemperature: params.Temperature.Valid(),
		TopP: params.TopP.Value, HasTopP: params.TopP.Valid(),
	}
	request.Describe(span)
}

// tandemAnswered ends it. The service counts what it has cached apart from what else was asked.
func tandemAnswered(span *tandem_rt.Span, result **Message, err *error) {
	if span == nil {
		return
	}
	if *err != nil {
		tandemFail(span, *err)
		return
	}
	if message := *result; message != nil && span.Recording() {
		answer := tandem_genai.AnswerTo(span)
		answer.From(string(message.Model), message.ID)
		usage := &message.Usage
		answer.Input(usage.InputTokens + usage.CacheReadInputTokens + usage.CacheCreationInputTokens)
		answer.Output(usage.OutputTokens)
		answer.Cached(usage.CacheReadInputTokens, usage.CacheCreationInputTokens)
		var reasons tandem_genai.Reasons
		reasons.Add(string(message.StopReason))
		reasons.Tell(span)
	}
	span.End()
}

// tandemOpen begins the span of a streamed answer.
func tandemOpen(ctx context.Context, params *MessageNewParams) (span, previous *tandem_rt.Span) {
	if !tandemMessageStreamOp.On() {
		return nil, nil
	}
	span = tandem_rt.StartDetached(tandemMessageStreamOp, tandem_rt.FromContext(ctx))
	tandemDescribe(span, params)
	return span, tandem_genai.Open(span)
}

// tandemOpened hands it to the stream.
func tandemOpened(span, previous *tandem_rt.Span, stream **ssestream.Stream[MessageStreamEventUnion]) {
	tandem_genai.Sent(span, previous)
	ssestream.TandemFollow(*stream, span, tandemPiece)
}

// tandemPiece looks at a piece: the first says who answers and what was asked, one at the end how the answer ended.
func tandemPiece(stream *tandem_genai.Stream, piece *MessageStreamEventUnion) {
	switch piece.Type {
	case "message_start":
		stream.From(string(piece.Message.Model), piece.Message.ID)
		usage := &piece.Message.Usage
		stream.Usage(usage.InputTokens+usage.CacheReadInputTokens+usage.CacheCreationInputTokens, usage.OutputTokens)
		stream.Cached(usage.CacheReadInputTokens, usage.CacheCreationInputTokens)
	case "message_delta":
		stream.Usage(stream.InputTokens(), piece.Usage.OutputTokens)
		stream.Reason(string(piece.Delta.StopReason))
	}
}
