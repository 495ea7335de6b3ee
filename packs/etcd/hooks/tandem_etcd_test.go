package clientv3

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
)

// The hooks of an operation cost no allocation.
func TestTandemAllocations(t *testing.T) {
	kv := new(kv)
	tandemKnow(kv, nil)
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() {
		var err error
		span := tandemStart(kv, ctx, tandemName(tPut))
		tandemEnd(span, &err)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Codes are written as the conventions do.
func TestTandemCode(t *testing.T) {
	for code, want := range map[codes.Code]string{
		codes.OutOfRange: "OUT_OF_RANGE", codes.Canceled: "CANCELLED", codes.Unavailable: "UNAVAILABLE", codes.NotFound: "NOT_FOUND",
	} {
		if got := tandemCode(code); got != want {
			t.Errorf("%v: %s", code, got)
		}
	}
}
