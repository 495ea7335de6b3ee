package valkey

import (
	"context"
	"errors"
	"testing"

	"github.com/valkey-io/valkey-go/internal/cmds"
	tandem_rt "tandem/rt"
)

// A command's span, a pipeline's and a message's cost no allocation.
func TestTandemAllocatesNothing(t *testing.T) {
	ctx := context.Background()
	command := []string{"SET", "key", "value"}
	if span := tandemDo(ctx, command); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	var result ValkeyResult
	if n := testing.AllocsPerRun(1000, func() {
		span := tandemDo(ctx, command)
		tandemReach("cache.example:6380")
		if inside := tandemDo(ctx, command); inside != nil {
			t.Fatal("an operation inside of another has a span")
		}
		tandemDone(span, &result)
	}); n != 0 {
		t.Errorf("a command: %v allocations", n)
	}
	multi := make([]Completed, 0, 50)
	for i := 0; i < 50; i++ {
		multi = append(multi, cmds.NewCompleted([]string{"GET", "key"}))
	}
	results := make([]ValkeyResult, 50)
	if n := testing.AllocsPerRun(1000, func() {
		tandemDoneMulti(tandemDoMulti(ctx, multi), &results)
	}); n != 0 {
		t.Errorf("a pipeline: %v allocations", n)
	}
	handled := 0
	handle := tandemMessages(func(PubSubMessage) { handled++ })
	if n := testing.AllocsPerRun(1000, func() {
		handle(PubSubMessage{Channel: "news"})
	}); n != 0 || handled == 0 {
		t.Errorf("a message: %v allocations", n)
	}
}

// What an answer quotes is recognised as an answer's, whether the client has taken away its first word or not.
func TestTandemReply(t *testing.T) {
	for text, want := range map[string]string{
		"unknown command 'x'": "ERR unknown command 'x'", "WRONGTYPE Operation": "WRONGTYPE Operation", "DB index is out of range": "ERR DB index is out of range", "": "ERR ",
	} {
		if got := tandemReply(text).Error(); got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}

// Whatever happened, nothing stays current.
func TestTandemEnds(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	for _, err := range []error{nil, errors.New("no"), context.Canceled, &ValkeyError{}} {
		if span := tandemDo(nil, []string{"GET", "key"}); span != nil {
			tandemEnd(span, err)
		}
		if tandem_rt.Current() != nil {
			t.Fatalf("after %v a span is still current", err)
		}
	}
}

func BenchmarkTandemCommand(b *testing.B) {
	ctx := context.Background()
	command := []string{"SET", "key", "value"}
	var result ValkeyResult
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		span := tandemDo(ctx, command)
		tandemReach("cache.example:6380")
		tandemDone(span, &result)
	}
}
