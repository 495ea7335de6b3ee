package openai

import (
	"errors"

	tandem_genai "tandem/genai"
	tandem_rt "tandem/rt"
)

const (
	tandemScope    = "tandem/github.com/openai/openai-go"
	tandemProvider = "openai"
)

// tandemFail ends the span of an operation that failed.
func tandemFail(span *tandem_rt.Span, err error) {
	var answered *Error
	if errors.As(err, &answered) {
		code := answered.Code
		if code == "" {
			code = answered.Type
		}
		tandem_genai.Fail(span, code, answered.StatusCode, err)
	} else {
		tandem_genai.Fail(span, "", 0, err)
	}
	span.End()
}

// tandemUsed says how many tokens a whole answer took.
func tandemUsed(answer tandem_genai.Answer, usage *CompletionUsage) {
	answer.Input(usage.PromptTokens)
	answer.Output(usage.CompletionTokens)
	answer.Cached(usage.PromptTokensDetails.CachedTokens, 0)
}
