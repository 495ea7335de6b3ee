package grpc

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/internal/transport"
	tandem_rt "tandem/rt"
)

// A handler's context shows its call's span, and after the call still that call's ids: never the next one's, although the
// next call's span may lie in the same record.
func TestTandemContextOutlivesItsCall(t *testing.T) {
	if !tandemServer.On() {
		t.Skip("nothing is recorded here")
	}
	server := new(Server)
	var kept []context.Context
	var ids [][8]byte
	for i := 0; i < 10; i++ {
		var stream transport.TandemStream
		call := tandemServe(&stream, "/greet.Greeter/Greet")
		ctx, cancel := context.WithCancel(call.context(context.Background(), server))
		span := tandem_rt.FromContext(ctx)
		if span == nil || span != tandem_rt.Current() {
			t.Fatal("the context does not carry the current span")
		}
		if serverFromContext(ctx) != server {
			t.Fatal("the context does not carry the server")
		}
		if i%2 == 1 {
			shared := make(chan *tandem_rt.Span)
			go func() { shared <- tandem_rt.FromContext(ctx) }()
			if <-shared != span {
				t.Fatal("another goroutine sees another span")
			}
		}
		kept, ids = append(kept, ctx), append(ids, span.SpanID())
		call.known(&stream, "a.B/C")
		call.end(&stream, "/a.B/C", ctx)
		cancel()
		if tandem_rt.Current() != nil {
			t.Fatal("the span is still current")
		}
	}
	for i, ctx := range kept {
		if got := tandem_rt.FromContext(ctx).SpanID(); got != ids[i] {
			t.Errorf("call %d: %x became %x", i, ids[i], got)
		}
	}
}

// Only what the server did wrong is an error of the server's.
func TestTandemServerFault(t *testing.T) {
	var faults []string
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if tandemCode(code) == "" {
			t.Errorf("code %d has no name", code)
		}
		if tandemServerFault(code) {
			faults = append(faults, tandemCode(code))
		}
	}
	want := "[UNKNOWN DEADLINE_EXCEEDED UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS]"
	if got := fmt.Sprint(faults); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if tandemCode(99) != "99" {
		t.Error("a code that nobody knows is its number")
	}
}
