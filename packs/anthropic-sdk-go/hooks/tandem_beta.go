package anthropic

import (
	"context"

	"github.com/anthropics/anthropic-sdk-go/packages/ssestream"
	tandem_genai "tandem/genai"
	tandem_rt "tandem/rt"
)

// This file makes the spans of messages of the beta. A whole answer's span is current while it is waited for; a streamed one's only
// while it is sent.

var (
	tandemBetaOp       = tandem_genai.NewOp("anthropic-sdk-go.beta", tandemScope)
	tandemBetaStreamOp = tandem_genai.NewOp("anthropic-sdk-go.beta.stream", tandemScope)
)

// tandemBetaAsk begins the span of a whole answer.
func tandemBetaAsk(ctx context.Context, params *BetaMessageNewParams) *tandem_rt.Span {
	if !tandemBetaOp.On() {
		return nil
	}
	span := tandem_rt.Start(tandemBetaOp, tandem_rt.FromContext(ctx))
	tandemBetaDescribe(span, params)
	return span
}

func tandemBetaDescribe(span *tandem_rt.Span, params *BetaMessageNewParams) {
	request := tandem_genai.Request{
		Operation: tandem_genai.Chat, Provider: tandemProvider, Model: string(params.Model), MaxTokens: params.MaxTokens,
		Temperature: params.Temperature.Value, HasTemperature: params.Temperature.Valid(),
		TopP: params.TopP.Value, HasTopP: params.TopP.Valid(),
	}
	request.Describe(span)
}

// tandemBetaAnswered ends it. The service counts what it has cached apart from what else was asked.
func tandemBetaAnswered(span *tandem_rt.Span, result **BetaMessage, err *error) {
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

// tandemBetaOpen begins the span of a streamed answer.
func tandemBetaOpen(ctx context.Context, params *BetaMessageNewParams) (span, previous *tandem_rt.Span) {
	if !tandemBetaStreamOp.On() {
		return nil, nil
	}
	span = tandem_rt.StartDetached(tandemBetaStreamOp, tandem_rt.FromContext(ctx))
	tandemBetaDescribe(span, params)
	return span, tandem_genai.Open(span)
}

// tandemBetaOpened hands it to the stream.
func tandemBetaOpened(span, previous *tandem_rt.Span, stream **ssestream.Stream[BetaRawMessageStreamEventUnion]) {
	tandem_genai.Sent(span, previous)
	ssestream.TandemFollow(*stream, span, tandemBetaPiece)
}

// tandemBetaPiece looks at a piece: the first says who answers and what was asked, one at the end how the answer ended.
func tandemBetaPiece(stream *tandem_genai.Stream, piece *BetaRawMessageStreamEventUnion) {
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
