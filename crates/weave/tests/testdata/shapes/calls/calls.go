package calls

import (
	"context"
	"io"
	"strconv"
	"strings"
)

func Filtered(ctx context.Context) error { return nil }

func Plain(text string) string { return strings.ToUpper(text) }

type fake struct{}

func (fake) ToUpper(text string) string { return "fake " + text }

// Shadowed calls a method: the name of the import means something else here.
func Shadowed(text string) string {
	strings := fake{}
	return strings.ToUpper(text)
}

// Value calls no function by its name.
func Value(text string) string {
	upper := strings.ToUpper
	return upper(text)
}

func Argument(text string) bool { return strings.Contains("xfx", text) }

func Result(text string) (int, error) {
	return strconv.Atoi(strings.Repeat("4", len(text)))
}

type Option func(*int)

func build(name string, options ...Option) int {
	total := len(name)
	for _, option := range options {
		option(&total)
	}
	return total
}

func Options(name string) int {
	return build(
		name,
	)
}

func Method(w io.Writer) error {
	_, err := w.Write([]byte("ok"))
	return err
}

func Twice[T int | float64](n T) T { return n + n }

func Generic(n int) int { return Twice[int](n) }

func Started() {
	done := make(chan bool)
	go func() {
		defer close(done)
		defer strings.ToUpper("started")
	}()
	<-done
}
