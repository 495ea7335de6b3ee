package redis

import (
	"context"
	"errors"
	"testing"

	tandem_rt "tandem/rt"
)

func testConn() *conn {
	c := &conn{}
	c.tandem.goes("tcp", "cache.example:6380", 3)
	return c
}

// A command's span and a pipeline's cost no allocation.
func TestNothingIsAllocated(t *testing.T) {
	c, ctx := testConn(), context.Background()
	var reply interface{}
	var failed error
	if span := tandemDo(c, ctx, "SET", 2); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	if n := testing.AllocsPerRun(1000, func() {
		span := tandemDo(c, ctx, "SET", 2)
		if inside := tandemDo(c, nil, "SET", 2); inside != nil {
			t.Fatal("a command has two spans")
		}
		tandemDone(span, &reply, &failed)
	}); n != 0 {
		t.Errorf("a command: %v allocations", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		c.tandem.add("MULTI", 0)
		c.tandem.add("INCR", 1)
		tandemDone(tandemDo(c, ctx, "EXEC", 0), &reply, &failed)
		for i := 0; i < 20; i++ {
			c.tandem.add("GET", 1)
		}
		tandemFlush(c)
		for i := 0; i < 20; i++ {
			tandemAnswered(c, &failed)
		}
		if c.tandem.span != nil {
			t.Fatal("the pipeline has not ended")
		}
	}); n != 0 {
		t.Errorf("a pipeline: %v allocations", n)
	}
}

// Whatever happened, nothing stays current or open.
func TestEnds(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	for _, err := range []error{nil, Error("ERR no"), errors.New("no"), context.Canceled} {
		c, result := testConn(), err
		var reply interface{} = []interface{}{Error("ERR no"), nil}
		tandemDone(tandemDo(c, nil, "GET", 1), &reply, &result)
		c.tandem.add("GET", 1)
		tandemFlush(c)
		tandemAnswered(c, &result)
		c.tandem.add("GET", 1)
		tandemFlush(c)
		tandemClosed(c)
		var got interface{} = err
		tandemReceived(tandemWait(nil), &got)
		if tandem_rt.Current() != nil || c.tandem.span != nil {
			t.Fatalf("after %v a span is still there", err)
		}
	}
}

func BenchmarkCommand(b *testing.B) {
	c, ctx := testConn(), context.Background()
	var reply interface{}
	var failed error
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		tandemDone(tandemDo(c, ctx, "SET", 2), &reply, &failed)
	}
}
