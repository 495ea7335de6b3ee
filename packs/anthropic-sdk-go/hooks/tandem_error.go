package anthropic

import (
	"errors"

	"github.com/tidwall/gjson"
	tandem_genai "tandem/genai"
	tandem_rt "tandem/rt"
)

const (
	tandemScope    = "tandem/github.com/anthropics/anthropic-sdk-go"
	tandemProvider = "anthropic"
)

// tandemFail ends the span of an operation that failed.
func tandemFail(span *tandem_rt.Span, err error) {
	var answered *Error
	if errors.As(err, &answered) {
		tandem_genai.Fail(span, gjson.Get(answered.RawJSON(), "error.type").String(), answered.StatusCode, err)
	} else {
		tandem_genai.Fail(span, "", 0, err)
	}
	span.End()
}
