// Package failure names errors, for the packages that packs share. It runs only when an operation failed, so it may allocate.
package failure

import (
	"errors"
	"internal/reflectlite"
)

// Names are the errors that a pack knows by their value, such as context.Canceled. The first that errors.Is finds is it.
type Names []struct {
	Err  error
	Name string
}

// Kind names an error: where it is not known, by the Go type of the innermost one.
func (names Names) Kind(err error) string {
	for i := range names {
		if errors.Is(err, names[i].Err) {
			return names[i].Name
		}
	}
	return reflectlite.TypeOf(Innermost(err)).String()
}

// Innermost is the error that others are wrapped around: that is the reason, those say where.
func Innermost(err error) error {
	for depth := 0; depth < 16; depth++ {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	return err
}
