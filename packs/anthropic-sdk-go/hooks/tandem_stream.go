package ssestream

import (
	"errors"

	"github.com/anthropics/anthropic-sdk-go/internal/apierror"
	"github.com/tidwall/gjson"
	tandem_genai "tandem/genai"
	tandem_rt "tandem/rt"
)

// This file ends the span of a streamed answer: with its last piece, an error, or Close.

// tandemStream is a stream's span, and what knows its pieces.
type tandemStream[T any] struct {
	tandem_genai.Stream
	look func(*tandem_genai.Stream, *T)
}

// TandemFollow gives a stream that was just made its span; look is called for each piece.
func TandemFollow[T any](s *Stream[T], span *tandem_rt.Span, look func(*tandem_genai.Stream, *T)) {
	if span == nil || s == nil {
		span.End()
		return
	}
	s.tandem.look = look
	s.tandem.Begin(span)
	if s.err != nil {
		tandemFail(s)
	}
}

// tandemNext is called when Next returns *more.
func tandemNext[T any](s *Stream[T], more *bool) {
	if *more {
		if s.tandem.Look() {
			s.tandem.look(&s.tandem.Stream, &s.cur)
			s.tandem.Looked()
		}
	} else if s.err != nil {
		tandemFail(s)
	} else {
		s.tandem.End()
	}
}

// tandemClose is called when Close returns; some versions close a stream that breaks, before Next returns.
func tandemClose[T any](s *Stream[T]) {
	if s.err != nil {
		tandemFail(s)
	} else {
		s.tandem.End()
	}
}

// tandemFail ends the span with the stream's error: what the service has answered, or sent instead of a piece.
func tandemFail[T any](s *Stream[T]) {
	var answered *apierror.Error
	text, status := "", 0
	if errors.As(s.err, &answered) {
		text, status = answered.RawJSON(), answered.StatusCode
	} else if s.decoder != nil && s.decoder.Event().Type == "error" {
		text = string(s.decoder.Event().Data)
	}
	s.tandem.Fail(gjson.Get(text, "error.type").String(), status, s.err)
}
