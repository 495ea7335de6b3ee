package genai

import (
	"sync/atomic"

	"tandem/rt"
)

// Stream is the span of an answer that comes in pieces: it begins with the request and ends when the last piece was read, or
// the stream is closed, on whatever goroutine that is. It is part of the library's own stream. The zero value has no span.
type Stream struct {
	span  *rt.Span
	state uint32

	reasons       Reasons
	input, output int64
	read, created int64
	counted       bool
	known         bool
}

// What a stream's state holds. Pieces are read by one goroutine; any may close the stream meanwhile. Then who reads ends it.
const (
	streamRead = 1 << iota // a piece is being waited for, or looked at
	streamEnds             // it is to end, or has ended
)

// Begin gives a stream its span.
func (s *Stream) Begin(span *rt.Span) { s.span = span }

// Open makes a span, which must not be current, current as long as the request is sent: until Sent.
func Open(span *rt.Span) (previous *rt.Span) {
	if span != nil {
		previous = rt.Unset()
		rt.Restore(span)
	}
	return previous
}

// Sent ends what Open began.
func Sent(span, previous *rt.Span) {
	if span != nil {
		rt.Restore(previous)
	}
}

// Look begins to wait for a piece and to look at it, and says whether that is of use; then Looked must follow. Only in between
// may the stream's error be looked at: until then whoever reads may write it.
func (s *Stream) Look() bool {
	return s.span != nil && atomic.CompareAndSwapUint32(&s.state, 0, streamRead)
}

// Looked ends what Look began.
func (s *Stream) Looked() {
	if !atomic.CompareAndSwapUint32(&s.state, streamRead, 0) {
		s.finish()
	}
}

// From says which model answers; id is the answer's. Only the first call does something.
func (s *Stream) From(model, id string) {
	if !s.known && (model != "" || id != "") {
		s.known = true
		AnswerTo(s.span).From(model, id)
	}
}

// Reason is why one of the answers ended.
func (s *Stream) Reason(reason string) { s.reasons.Add(reason) }

// Usage is how many tokens there have been so far: what is told last counts.
func (s *Stream) Usage(input, output int64) { s.input, s.output, s.counted = input, output, true }

// InputTokens is how many the request had, as far as is known.
func (s *Stream) InputTokens() int64 { return s.input }

// Cached is what Answer.Cached says; what is told last counts.
func (s *Stream) Cached(read, created int64) { s.read, s.created = read, created }

// Failed says that the answer is a failure, which the service calls so, or what Fail says of it; the stream goes on.
func (s *Stream) Failed(code string, status int, err error) { Fail(s.span, code, status, err) }

// End ends the span. Only the first call does something.
func (s *Stream) End() {
	if s.span == nil {
		return
	}
	for {
		state := atomic.LoadUint32(&s.state)
		if state&streamEnds != 0 {
			return
		}
		if atomic.CompareAndSwapUint32(&s.state, state, state|streamEnds) {
			if state == 0 {
				s.finish()
			}
			return
		}
	}
}

// finish is called once, by whoever has set the last of the state's bits.
func (s *Stream) finish() {
	span := s.span
	if s.counted {
		answer := AnswerTo(span)
		answer.Input(s.input)
		answer.Output(s.output)
		answer.Cached(s.read, s.created)
	}
	s.reasons.Tell(span)
	span.End()
}
