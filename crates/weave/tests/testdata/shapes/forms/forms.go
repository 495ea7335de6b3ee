package forms

import (
	"context"
	"errors"
	"fmt"
)

var log []string

func init() { log = append(log, "a") }

func init() { log = append(log, "b") }

func Map[T, U any](items []T, f func(T) U) []U {
	var mapped []U
	for _, item := range items {
		mapped = append(mapped, f(item))
	}
	return mapped
}

type Box[T any] struct{ value T }

func (b *Box[T]) Put(value T) (old T) {
	old, b.value = b.value, value
	return
}

func Sum(label string, numbers ...int) (total int) {
	for _, number := range numbers {
		total += number
	}
	return total
}

func Unnamed(int, string) (int, error) { return 2, nil }

func Blank(_ int, _ string) (_ int, err error) {
	err = errors.New("odd")
	return
}

func Named(n int) (doubled int, err error) {
	if err := check(n); err != nil {
		return 0, err
	}
	doubled = 2 * n
	return
}

func check(int) error { return nil }

func Panics() error { panic("so it is") }

func Exits(exit func()) { exit() }

func mark() {}

func Closure(n int) func() int {
	return func() int {
		n++
		mark()
		return n
	}
}

// Hidden has its parameter hidden where the hook is called: it sees the function's own.
func Hidden(n int) int {
	double := func(n string) int {
		mark()
		return 2 * len(n)
	}
	result := double("xx") + n
	n += 2
	if n := n * 100; n > 0 {
		mark()
	}
	return result
}

type Counter struct{ total int }

func (c *Counter) Add(n int) { c.total += n }

func (c Counter) Show() { fmt.Println(c.total) }

// Shadowed gives another meaning to what the woven text needs.
//
//tandem:span
func Shadowed(tandem_rt int, len string, nil bool) error {
	if tandem_rt > 0 && len != "" && nil {
		return errors.New(len)
	}
	return errors.New("other")
}

type error_ = error

//tandem:span a-span n=n
func Spanned(nil bool, n int) (string, error_) { return fmt.Sprint(nil, n), *new(error_) }

//acme:trace id=7 "quoted"
func Directed(n int) int { return n }

func Wrapped(text string) string { return text + "!" }

type fields struct{ n int }

func Fielded() int {
	f := fields{n: 1}
	return f.n
}

func Filtered(ctx context.Context, n int) error { return nil }

func SkipFiltered(ctx context.Context) error { return nil }

func NoError(ctx context.Context) int { return 1 }
