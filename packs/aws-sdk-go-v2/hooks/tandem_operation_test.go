package middleware

import (
	"context"
	"testing"

	"github.com/aws/smithy-go/middleware"
	tandem_rt "tandem/rt"
)

// An operation's span costs no allocation.
func TestNothingIsAllocated(t *testing.T) {
	ctx := context.Background()
	about := &RegisterServiceMetadata{ServiceID: "SQS", OperationName: "SendMessage", Region: "eu-central-1"}
	if span := tandemStart(ctx, about); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	var metadata middleware.Metadata
	SetRequestIDMetadata(&metadata, "an-id")
	var failed error
	if n := testing.AllocsPerRun(1000, func() {
		tandemEnd(tandemStart(ctx, about), &metadata, &failed)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if tandem_rt.Current() != nil {
		t.Error("a span is still current")
	}
}

func BenchmarkOperation(b *testing.B) {
	ctx := context.Background()
	about := &RegisterServiceMetadata{ServiceID: "SQS", OperationName: "SendMessage", Region: "eu-central-1"}
	var metadata middleware.Metadata
	SetRequestIDMetadata(&metadata, "an-id")
	var failed error
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		tandemEnd(tandemStart(ctx, about), &metadata, &failed)
	}
}
