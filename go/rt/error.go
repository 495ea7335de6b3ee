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

// EndPanic is End for an operation that did not return: value is what recover gave, nil for runtime.Goexit.
func (s *Span) EndPanic(value any) {
	if s == nil {
		return
	}
	switch value := value.(type) {
	case nil:
		s.SetError("runtime.Goexit", "")
	case error:
		s.setError(value)
	case string:
		s.SetError("panic", value)
	default:
		s.SetError(reflectlite.TypeOf(value).String(), "")
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
