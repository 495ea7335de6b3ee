package openai

import (
	"context"

	tandem_genai "tandem/genai"
	tandem_rt "tandem/rt"
)

// This file makes the spans of embeddings.

var tandemEmbeddingOp = tandem_genai.NewOp("openai-go.embedding", tandemScope)

// tandemEmbed begins a span.
func tandemEmbed(ctx context.Context, params *EmbeddingNewParams) *tandem_rt.Span {
	if !tandemEmbeddingOp.On() {
		return nil
	}
	span := tandem_rt.Start(tandemEmbeddingOp, tandem_rt.FromContext(ctx))
	request := tandem_genai.Request{Operation: tandem_genai.Embeddings, Provider: tandemProvider, Model: params.Model}
	request.Describe(span)
	return span
}

// tandemEmbedEnd ends it.
func tandemEmbedEnd(span *tandem_rt.Span, result **CreateEmbeddingResponse, err *error) {
	if span == nil {
		return
	}
	if *err != nil {
		tandemFail(span, *err)
		return
	}
	if embedding := *result; embedding != nil && span.Recording() {
		answer := tandem_genai.AnswerTo(span)
		answer.From(embedding.Model, "")
		answer.Input(embedding.Usage.PromptTokens)
	}
	span.End()
}
