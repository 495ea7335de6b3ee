package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"

	tandem_rt "tandem/rt"
)

// A command's span and a pipeline's cost no allocation.
func TestNothingIsAllocated(t *testing.T) {
	ctx := context.Background()
	command := NewStatusCmd(ctx, "set", "key", "value")
	var failed error
	if span := tandemStart(ctx, command); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	opt := &Options{Addr: "cache.example:6380", Network: "tcp", DB: 3}
	if n := testing.AllocsPerRun(1000, func() {
		span := tandemStart(ctx, command)
		tandemReach(opt)
		if inside := tandemStart(ctx, command); inside != nil {
			t.Fatal("an operation inside of another has a span")
		}
		tandemEnd(span, &failed)
	}); n != 0 {
		t.Errorf("a command: %v allocations", n)
	}
	var commands []Cmder
	for i := 0; i < 50; i++ {
		commands = append(commands, command)
	}
	if n := testing.AllocsPerRun(1000, func() {
		span := tandemStartBatch(tandemPipeline, ctx, commands)
		tandemReach(opt)
		tandemEndBatch(span, &failed, commands)
	}); n != 0 {
		t.Errorf("a pipeline: %v allocations", n)
	}
}

// That there is no such key is no error, however it is wrapped; whatever happened, nothing stays current.
func TestEnds(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	ctx := context.Background()
	for _, err := range []error{nil, Nil, fmt.Errorf("hook: %w", Nil), errors.New("no"), context.Canceled} {
		result := err
		tandemEnd(tandemStart(ctx, NewStatusCmd(ctx, "get", "key")), &result)
		if tandem_rt.Current() != nil {
			t.Fatalf("after %v a span is still current", err)
		}
	}
}

func BenchmarkCommand(b *testing.B) {
	ctx := context.Background()
	command := NewStatusCmd(ctx, "set", "key", "value")
	opt := &Options{Addr: "cache.example:6380", Network: "tcp", DB: 3}
	var failed error
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		span := tandemStart(ctx, command)
		tandemReach(opt)
		tandemEnd(span, &failed)
	}
}
