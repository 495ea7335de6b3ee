package ssestream

import (
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
	if s.err != nil && s.tandem.Look() {
		tandemFail(s)
		s.tandem.Looked()
		s.tandem.End()
	}
}

// tandemWait is called when Next is.
func tandemWait[T any](s *Stream[T]) bool { return s.tandem.Look() }

// tandemNext is called when Next returns *more. Meanwhile somebody, or Next itself, may have closed the stream.
func tandemNext[T any](s *Stream[T], looking bool, more *bool) {
	if !looking {
		return
	}
	if *more {
		s.tandem.look(&s.tandem.Stream, &s.cur)
		s.tandem.Looked()
		return
	}
	if s.err != nil {
		tandemFail(s)
	}
	s.tandem.Looked()
	s.tandem.End()
}

// tandemClose is called when Close returns, on whatever goroutine.
func tandemClose[T any](s *Stream[T]) { s.tandem.End() }
