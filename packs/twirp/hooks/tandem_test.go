package twirp

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/twitchtv/twirp/internal/contextkeys"
	tandem_rt "tandem/rt"
)

func tandemTestContext() context.Context {
	ctx := context.WithValue(context.Background(), contextkeys.PackageNameKey, "acme.hats")
	ctx = context.WithValue(ctx, contextkeys.ServiceNameKey, "Haberdasher")
	return context.WithValue(ctx, contextkeys.MethodNameKey, "MakeHat")
}

// A call's span costs no allocation, whether it is made or served, goes well or not.
func TestTandemAllocatesNothing(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	if span := tandem_rt.Start(tandemClientOp, nil); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	ctx := tandemTestContext()
	request, _ := http.NewRequest("POST", "https://hats.example/twirp", nil)
	failure := NewError(Unavailable, "no hats")
	for name, call := range map[string]func(){
		"made":    func() { tandemPrepared(ctx, request); tandemReceived(ctx) },
		"failed":  func() { tandemPrepared(ctx, request); tandemFailed(ctx, failure) },
		"served":  func() { tandemRouted(ctx); tandemSent(ctx) },
		"refused": func() { tandemRouted(ctx); tandemRefused(ctx, failure); tandemSent(ctx) },
	} {
		if n := testing.AllocsPerRun(1000, call); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if tandem_rt.Current() != nil {
			t.Fatalf("%s: a span is still current", name)
		}
	}
}

// A call that fails before it is sent, or before its method is known, ends no span of somebody else's.
func TestTandemEndsItsOwn(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	outer := tandem_rt.Start(tandemServerOp, nil)
	tandemFailed(context.Background(), NewError(Canceled, "too late"))
	if outer != nil && tandem_rt.Current() != outer {
		t.Error("somebody else's span has ended")
	}
	outer.End()
	tandemSent(context.Background())
}

// A client's and a server's hooks are given once, around the program's own.
func TestTandemHooksAreGivenOnce(t *testing.T) {
	var order []string
	own := &ServerHooks{RequestRouted: func(ctx context.Context) (context.Context, error) {
		order = append(order, "own")
		return ctx, errors.New("refused")
	}}
	server, client := new(ServerOptions), new(ClientOptions)
	server.Hooks = own
	var prefix string
	for i := 0; i < 3; i++ {
		server.ReadOpt("pathPrefix", &prefix)
		client.ReadOpt("pathPrefix", &prefix)
	}
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	if _, err := server.Hooks.RequestRouted(tandemTestContext()); err == nil || len(order) != 1 {
		t.Errorf("the program's own hook was called %v times, %v", len(order), err)
	}
	server.Hooks.ResponseSent(context.Background())
	if tandem_rt.Current() != nil || client.Hooks != tandemWhole {
		t.Error("there are more hooks than one")
	}
}

func BenchmarkTandemServed(b *testing.B) {
	ctx := tandemTestContext()
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		tandemRouted(ctx)
		tandemSent(ctx)
	}
}
