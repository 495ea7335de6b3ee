package middleware

import (
	"context"
	"testing"

	"github.com/aws/smithy-go/middleware"
	tandem_rt "tandem/rt"
)

// sending is the context of an operation.
func sending() context.Context {
	return SetOperationName(SetRegion(SetServiceID(context.Background(), "SQS"), "eu-central-1"), "SendMessage")
}

// An operation's span costs no allocation.
func TestNothingIsAllocated(t *testing.T) {
	ctx := sending()
	if span := tandemStart(ctx); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	var metadata middleware.Metadata
	SetRequestIDMetadata(&metadata, "an-id")
	var failed error
	if n := testing.AllocsPerRun(1000, func() {
		tandemEnd(tandemStart(ctx), &metadata, &failed)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if tandem_rt.Current() != nil {
		t.Error("a span is still current")
	}
}

func BenchmarkOperation(b *testing.B) {
	ctx := sending()
	var metadata middleware.Metadata
	SetRequestIDMetadata(&metadata, "an-id")
	var failed error
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		tandemEnd(tandemStart(ctx), &metadata, &failed)
	}
}
