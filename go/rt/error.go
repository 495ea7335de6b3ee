package rt

import (
	"internal/reflectlite"
	"runtime"
	"unsafe"
)

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

// EndPanic is End for an operation that did not return: value is what recover gave, nil for runtime.Goexit. It is called
// while the functions that panicked are still on the stack.
func (s *Span) EndPanic(value any) {
	if s == nil {
		return
	}
	if value == nil {
		s.SetError("runtime.Goexit", "")
	} else {
		s.setPanic(value)
	}
	s.End()
}

// setPanic gives the span status error and an exception event with the stack of who panicked.
func (s *Span) setPanic(value any) {
	kind, text := "panic", ""
	switch value := value.(type) {
	case error:
		kind, text = reflectlite.TypeOf(value).String(), message(value)
	case string:
		text = value
	default:
		kind = reflectlite.TypeOf(value).String()
	}
	s.SetError(kind, text)
	s.Event(KeyException)
	s.EventStr(KeyExceptionType, kind)
	if text != "" {
		s.EventStr(KeyExceptionMessage, text)
	}
	s.EventStr(KeyExceptionStacktrace, panicStack())
	s.EventEnd()
}

// panicStack is the stack of the function that panicked and its callers, innermost first, as Go prints stacks but without
// arguments: a name, and below it file and line. It is to be called by what was deferred.
func panicStack() string {
	var counters [48]uintptr
	frames := runtime.CallersFrames(counters[:runtime.Callers(2, counters[:])])
	var text []byte
	panicked := false
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		own := hasPrefix(frame.Function, "runtime.")
		if !panicked {
			panicked = frame.Function == "runtime.gopanic"
			continue
		}
		if own && len(text) == 0 { // how a fault became a panic
			continue
		}
		text = append(append(text, frame.Function...), "\n\t"...)
		text = append(append(text, frame.File...), ':')
		text = append(appendNumber(text, frame.Line), '\n')
	}
	return unsafe.String(unsafe.SliceData(text), len(text))
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
