// Functions is a program whose functions are woven dormant, for tests that switch them on and off while it runs.
//
// It prints its process id, then does what the lines of standard input say, each a number, a word and perhaps a count, and
// answers each with a line. What it answers does not depend on what is on. It ends when its standard input does.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	fmt.Println("pid", os.Getpid())
	serve()
}

func serve() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var number, count int
		var word string
		fmt.Sscan(lines.Text(), &number, &word, &count)
		fmt.Println("answer", number, answer(word, count))
	}
}

func answer(word string, count int) any {
	switch word {
	case "recursion":
		return fibonacci(count)
	case "generics":
		return fmt.Sprint(sum([]float64{1, 2.5}, "floats"), int(sum([]celsius{3, 4}, "degrees")), newStack(1, 2, 3).pop(), newStack("a").pop())
	case "methods":
		c := &counter{name: "c"}
		c.add(2, true)
		adder, value := c.add, counter.value
		adder(3, false)
		return value(*c) + c.through(nil)
	case "variadic":
		return join("-", "a", "b") + join("+") + join(".", []string{"c", "d"}...)
	case "named":
		result, err := named(count)
		return fmt.Sprint(result, " ", err)
	case "panics":
		return caught(func() { panics(context.Background(), "on purpose") })
	case "exits":
		return exited()
	case "closure":
		return grown(count)()
	case "parents":
		return outer(context.Background(), count)
	case "goroutines":
		return spread(count)
	case "hot":
		return hotLoop(count)
	}
	return "what?"
}

func fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return fibonacci(n-1) + fibonacci(n-2)
}

type celsius int

func (celsius) String() string { panic("a method of an argument was called") }

func sum[T ~int | ~float64](values []T, what string) (total T) {
	defer func() { total += T(len(what) - len(what)) }()
	for _, value := range values {
		total = plus(total, value)
	}
	return total
}

func plus[T ~int | ~float64](a, b T) T {
	fmt.Fprint(discard{}, a == b)
	return a + b
}

type discard struct{}

func (discard) Write(text []byte) (int, error) { return len(text), nil }

type stack[T any] struct{ items []T }

func newStack[T any](items ...T) *stack[T] {
	made := new(stack[T])
	made.items = append(made.items, items...)
	return made
}

func (s *stack[T]) pop() (last T) {
	last = s.items[len(s.items)-1]
	s.items = s.items[:len(s.items)-1]
	return
}

type counter struct {
	name  string
	count int
}

func (c *counter) add(more int, _ bool) { c.count += more }

func (c counter) value() int { c.count++; return c.count }

// A receiver that is nil, and one without a name.
func (c *counter) through(other *counter) int { return other.zero() }

func (*counter) zero() int { return 0 }

func join(between string, parts ...string) string { return strings.Join(parts, between) }

func named(n int) (result int, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%d: %w", n, err)
		}
	}()
	result = n
	if n < 0 {
		err = errors.New("negative")
		return
	}
	return n * 2, nil
}

func panics(ctx context.Context, why string) { panic(why) }

func caught(work func()) (why any) {
	defer func() { why = recover() }()
	work()
	return nil
}

func exited() string {
	done := make(chan string)
	go func() {
		defer func() { done <- "exited" }()
		exits(time.Second)
	}()
	return <-done
}

func exits(after time.Duration) { runtime.Goexit() }

func grown(n int) func() int { return func() int { n++; return n } }

func outer(ctx context.Context, depth int) int { return 1 + middle(ctx, depth) }

func middle(ctx context.Context, depth int) int { return 1 + inner(depth) }

func inner(depth int) int { return depth }

func spread(count int) int {
	results := make(chan int)
	for n := 0; n < count; n++ {
		go func(n int) { results <- inner(n) }(n)
	}
	total := 0
	for n := 0; n < count; n++ {
		total += <-results
	}
	return total
}

func hotLoop(count int) (total int) {
	for n := 0; n < count; n++ {
		total += hot(n)
	}
	return total
}

func hot(n int) int { return n & 1 }
