package rt

import (
	"internal/reflectlite"
	"unsafe"
)

// For functions that users mark with //tandem:span.

// StartFunc begins the span of a marked function.
func StartFunc(op *Op, explicit *Span) *Span {
	span := Start(op, explicit)
	span.countPanics()
	return span
}

// countPanics remembers how many panics run on this goroutine.
//
//go:norace
func (s *Span) countPanics() {
	if s != nil {
		s.panics = runtime_panics()
	}
}

// hasPanicked says whether one more runs than did then.
//
//go:norace
func (s *Span) hasPanicked() bool { return runtime_panics() > s.panics }

// EndFunc ends the span of a marked function; err points to its error result, if it has one. It is deferred. A panic that
// passes through the function is an event of the span, and goes on.
func (s *Span) EndFunc(err *error) {
	if s == nil {
		return
	}
	if s.hasPanicked() {
		if value, panicking := runtime_panicked(); panicking {
			s.setPanic(value)
			s.End()
			return
		}
	}
	if err != nil && *err != nil {
		s.setError(*err)
	}
	s.End()
}

// SetAny sets an attribute from a value of any type: numbers, text, booleans, and types made of them; errors and
// Stringers by their text. Other values have no attribute.
func (s *Span) SetAny(k Key, v any) {
	if !s.Recording() || v == nil {
		return
	}
	switch value := v.(type) {
	case string:
		s.Str(k, value)
		return
	case error:
		s.Str(k, message(value))
		return
	case interface{ String() string }:
		s.Str(k, described(value))
		return
	}
	s.setKind(k, v)
}

// setKind sets a value whose type may have a name of its own, by its kind.
func (s *Span) setKind(k Key, v any) {
	data := (*[2]unsafe.Pointer)(unsafe.Pointer(&v))[1] // these kinds are stored behind the interface's data word
	switch reflectlite.TypeOf(v).Kind() {
	case kindString:
		s.Str(k, *(*string)(data))
	case kindBool:
		s.Bool(k, *(*bool)(data))
	case kindInt:
		s.Int(k, int64(*(*int)(data)))
	case kindInt8:
		s.Int(k, int64(*(*int8)(data)))
	case kindInt16:
		s.Int(k, int64(*(*int16)(data)))
	case kindInt32:
		s.Int(k, int64(*(*int32)(data)))
	case kindInt64:
		s.Int(k, *(*int64)(data))
	case kindUint, kindUintptr:
		s.Int(k, int64(*(*uint)(data)))
	case kindUint8:
		s.Int(k, int64(*(*uint8)(data)))
	case kindUint16:
		s.Int(k, int64(*(*uint16)(data)))
	case kindUint32:
		s.Int(k, int64(*(*uint32)(data)))
	case kindUint64:
		s.Int(k, int64(*(*uint64)(data)))
	case kindFloat32:
		s.Float(k, float64(*(*float32)(data)))
	case kindFloat64:
		s.Float(k, *(*float64)(data))
	}
}

// Kinds, numbered as in reflect; reflectlite names only some.
const (
	kindBool reflectlite.Kind = iota + 1
	kindInt
	kindInt8
	kindInt16
	kindInt32
	kindInt64
	kindUint
	kindUint8
	kindUint16
	kindUint32
	kindUint64
	kindUintptr
	kindFloat32
	kindFloat64
	kindString reflectlite.Kind = 24
)

// described is the value's text. String is code of others: where it panics, there is no text.
func described(value interface{ String() string }) (text string) {
	defer func() {
		if recover() != nil {
			text = ""
		}
	}()
	return value.String()
}
