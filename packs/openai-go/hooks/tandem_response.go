package responses

import (
	"context"
	"errors"

	"github.com/openai/openai-go/v3/internal/apierror"
	"github.com/openai/openai-go/v3/packages/ssestream"
	tandem_genai "tandem/genai"
	tandem_rt "tandem/rt"
)

// This file makes the spans of the Responses API: its requests are chats, too. A whole answer's span is current while it is
// waited for; a streamed one's only while it is sent.

const tandemScope = "tandem/github.com/openai/openai-go"

var (
	tandemResponseOp       = tandem_genai.NewOp("openai-go.response", tandemScope)
	tandemResponseStreamOp = tandem_genai.NewOp("openai-go.response.stream", tandemScope)
)

// tandemRespond begins the span of a whole answer.
func tandemRespond(ctx context.Context, params *ResponseNewParams) *tandem_rt.Span {
	if !tandemResponseOp.On() {
		return nil
	}
	span := tandem_rt.Start(tandemResponseOp, tandem_rt.FromContext(ctx))
	tandemDescribe(span, params)
	return span
}

func tandemDescribe(span *tandem_rt.Span, params *ResponseNewParams) {
	request := tandem_genai.Request{
		Operation: tandem_genai.Chat, Provider: "openai", Model: params.Model, MaxTokens: params.MaxOutputTokens.Value,
		Temperature: params.Temperature.Value, HasTemperature: params.Temperature.Valid(),
		TopP: params.TopP.Value, HasTopP: params.TopP.Valid(),
	}
	request.Describe(span)
}

// tandemRespondEnd ends it.
func tandemRespondEnd(span *tandem_rt.Span, result **Response, err *error) {
	if span == nil {
		return
	}
	if *err != nil {
		var answered *apierror.Error
		if errors.As(*err, &answered) {
			code := answered.Code
			if code == "" {
				code = answered.Type
			}
			tandem_genai.Fail(span, code, answered.StatusCode, *err)
		} else {
			tandem_genai.Fail(span, "", 0, *err)
		}
		span.End()
		return
	}
	if response := *result; response != nil && span.Recording() {
		answer := tandem_genai.AnswerTo(span)
		answer.From(response.Model, response.ID)
		if usage := &response.Usage; usage.TotalTokens != 0 { // one that runs in the background has none yet
			answer.Input(usage.InputTokens)
			answer.Output(usage.OutputTokens)
			answer.Cached(usage.InputTokensDetails.CachedTokens, 0)
		}
		var reasons tandem_genai.Reasons
		reasons.Add(tandemReason(response))
		reasons.Tell(span)
		if response.Status == ResponseStatusFailed {
			tandem_genai.Fail(span, string(response.Error.Code), 0, nil)
		}
	}
	span.End()
}

// tandemReason is why an answer ended: the API has a status, and a reason where it is not complete.
func tandemReason(response *Response) string {
	if response.IncompleteDetails.Reason != "" {
		return response.IncompleteDetails.Reason
	}
	return string(response.Status)
}

// tandemRespondOpen begins the span of a streamed answer.
func tandemRespondOpen(ctx context.Context, params *ResponseNewParams) (span, previous *tandem_rt.Span) {
	if !tandemResponseStreamOp.On() {
		return nil, nil
	}
	span = tandem_rt.StartDetached(tandemResponseStreamOp, tandem_rt.FromContext(ctx))
	tandemDescribe(span, params)
	return span, tandem_genai.Open(span)
}

// tandemRespondOpened hands it to the stream.
func tandemRespondOpened(span, previous *tandem_rt.Span, stream **ssestream.Stream[ResponseStreamEventUnion]) {
	tandem_genai.Sent(span, previous)
	ssestream.TandemFollow(*stream, span, tandemEvent)
}

// tandemEvent looks at an event: the last one holds the whole response.
func tandemEvent(stream *tandem_genai.Stream, event *ResponseStreamEventUnion) {
	switch event.Type {
	case "response.created":
		stream.From(event.Response.Model, event.Response.ID)
	case "response.completed", "response.incomplete", "response.failed":
		response := &event.Response
		usage := &response.Usage
		stream.Usage(usage.InputTokens, usage.OutputTokens)
		stream.Cached(usage.InputTokensDetails.CachedTokens, 0)
		stream.Reason(tandemReason(response))
		if response.Status == ResponseStatusFailed {
			stream.Failed(string(response.Error.Code), 0, nil)
		}
	}
}
