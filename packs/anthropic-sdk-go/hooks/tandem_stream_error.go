package ssestream

import (
	"errors"

	"github.com/anthropics/anthropic-sdk-go/internal/apierror"
	"github.com/tidwall/gjson"
)

// tandemFail gives the span the stream's error: what the service has answered, or sent instead of a piece.
func tandemFail[T any](s *Stream[T]) {
	var answered *apierror.Error
	text, status := "", 0
	if errors.As(s.err, &answered) {
		text, status = answered.RawJSON(), answered.StatusCode
	} else if s.decoder != nil && s.decoder.Event().Type == "error" {
		text = string(s.decoder.Event().Data)
	}
	s.tandem.Failed(gjson.Get(text, "error.type").String(), status, s.err)
}
