package rt

import "internal/reflectlite"

// EndError is End for an operation that returns an error: when it is not nil, the span gets status error, error.type and
// the error's text.
func (s *Span) EndError(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.setError(err)
	}
	s.End()
}

func (s *Span) setError(err error) {
	s.SetError(reflectlite.TypeOf(err).String(), message(err))
}

// message is the error's text. Error is code of others: where it panics, there is no text.
func message(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = ""
		}
	}()
	return err.Error()
}
