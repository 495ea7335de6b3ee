package db

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

type testStateError struct{ state string }

func (e *testStateError) Error() string    { return "failed" }
func (e *testStateError) SQLState() string { return e.state }

// Errors are named by the database's code, else by the pack's names, else by what they are inside.
func TestFailure(t *testing.T) {
	names := Errors{{io.EOF, "io.EOF"}}
	for _, test := range []struct {
		err        error
		code, kind string
	}{
		{&testStateError{"23505"}, "23505", "23505"},
		{fmt.Errorf("insert: %w", &testStateError{"23505"}), "23505", "23505"},
		{(*testStateError)(nil), "", "_OTHER"},
		{fmt.Errorf("insert: %w", io.EOF), "", "io.EOF"},
		{errors.Join(errors.New("a"), io.EOF), "", "io.EOF"},
		{fmt.Errorf("a: %w", fmt.Errorf("b: %w", io.ErrUnexpectedEOF)), "", "*errors.errorString"},
	} {
		code, kind, _ := describe(test.err, names)
		if code != test.code || kind != test.kind {
			t.Errorf("got %q %q, want %q %q", code, kind, test.code, test.kind)
		}
	}
}
