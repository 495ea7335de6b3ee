package ssestream

import (
	"errors"

	"github.com/openai/openai-go/v3/internal/apierror"
	"github.com/tidwall/gjson"
)

// tandemFail gives the span the stream's error: what the service has answered, or sent instead of a piece.
func tandemFail[T any](s *Stream[T]) {
	var answered *apierror.Error
	if errors.As(s.err, &answered) {
		code := answered.Code
		if code == "" {
			code = answered.Type
		}
		s.tandem.Failed(code, answered.StatusCode, s.err)
		return
	}
	code := ""
	if s.decoder != nil {
		piece := gjson.GetBytes(s.decoder.Event().Data, "error")
		if code = piece.Get("code").String(); code == "" {
			code = piece.Get("type").String()
		}
	}
	s.tandem.Failed(code, 0, s.err)
}
