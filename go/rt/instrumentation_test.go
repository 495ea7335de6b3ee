package rt

import (
	"sync/atomic"
	"testing"
	"unsafe"
)

func instrumentations(t *testing.T, enabled, disabled, more string) {
	t.Helper()
	before := settings
	settings.enabledOps, settings.disabledOps, settings.moreOps = enabled, disabled, more
	t.Cleanup(func() { settings = before })
}

// The words of OpenTelemetry's own tool, and ours, whatever their case; only what packs make is an instrumentation.
func TestInstrumentations(t *testing.T) {
	for _, test := range []struct {
		enabled, disabled, id, scope string
		on                           bool
	}{
		{"", "", "net/http.server", "tandem/net/http", true},
		{"nethttp", "", "net/http.server", "tandem/net/http", true},
		{" NetHTTP , grpc", "", "net/http.client", "tandem/net/http", true},
		{"grpc", "", "net/http.client", "tandem/net/http", false},
		{"", "nethttp", "net/http.client", "tandem/net/http", false},
		{"nethttp", "nethttp", "net/http.client", "tandem/net/http", false},
		{"", "net/http.client", "net/http.client", "tandem/net/http", false},
		{"", "net/http.client", "net/http.server", "tandem/net/http", true},
		{"", "net/http", "net/http.server", "tandem/net/http", false},
		{"", "net/htt", "net/http.server", "tandem/net/http", true},
		{"", "database", "database/sql.query", "tandem/database/sql", false},
		{"", "logs/log", "log/slog.log", "tandem/log/slog", true},
		{"", "logs/slog", "log/slog.log", "tandem/log/slog", false},
		{"", "redis", "redis.command", "tandem/github.com/redis/go-redis/v9", false},
		{"", "mongodb", "mongo.command", "tandem/go.mongodb.org/mongo-driver/v2", true},
		{"", "mongodb_v2", "mongo.command", "tandem/go.mongodb.org/mongo-driver/v2", false},
		{"", "runtimemetrics", "runtime.metrics", "tandem/runtime", false},
		{"grpc", "", "shop.Checkout", "example.com/shop", true},
		{"", "shop.Checkout", "shop.Checkout", "example.com/shop", false},
		{"grpc", "", "process", "tandem/process", true},
		{"", "process", "process", "tandem/process", false},
	} {
		instrumentations(t, test.enabled, test.disabled, "")
		if Instrumented(test.id, test.scope) != test.on {
			t.Errorf("only %q, not %q: %s of %s is not as it should be", test.enabled, test.disabled, test.id, test.scope)
		}
		if NewOp(test.id, test.scope, KindInternal, "x").On() != test.on {
			t.Errorf("only %q, not %q: the operation %s is not as it should be", test.enabled, test.disabled, test.id)
		}
	}
}

// What is off by default is on where it is named itself.
func TestOffByDefault(t *testing.T) {
	for _, test := range []struct {
		enabled, disabled, more string
		on                      bool
	}{
		{"", "", "", false},
		{"cache", "", "", false},
		{"cache.get", "", "", true},
		{"", "", "other, Cache.Get", true},
		{"", "cache", "cache.get", false},
	} {
		instrumentations(t, test.enabled, test.disabled, test.more)
		if op := NewOp("cache.get", "tandem/example.com/cache", KindInternal, "x").OffByDefault(); op.On() != test.on {
			t.Errorf("only %q, not %q, too %q: on is %v", test.enabled, test.disabled, test.more, op.On())
		}
	}
}

// quiet plays whoever writes the table.
func quiet(index int, op *Op, pattern string) {
	entry := (*quietLayout)(unsafe.Pointer(&control.quiet[uintptr(index)*unsafe.Sizeof(quietLayout{})]))
	entry.size = uint32(copy(entry.pattern[:], pattern))
	atomic.StoreUint32(&entry.descriptor, op.id)
	atomic.StoreUint32(&control.quietCount, uint32(index+1))
}

// Calls that ask for what the table names are not sampled, and what they call is not; their numbers are kept.
func TestQuietCalls(t *testing.T) {
	sample(t, "", "")
	defer func() { control.quiet, control.quietCount = [len(control.quiet)]byte{}, 0 }()
	quiet(1, opServer, "/health*")
	for path, sampled := range map[string]bool{"/health": false, "/healthz/x": false, "/": true, "": true} {
		for _, parent := range []string{"", goodTraceparent} {
			in := Incoming{Path: path, traceparent: parent}
			span := StartIncoming(opServer, &in)
			child := Start(opInternal, nil)
			if span.Sampled() != sampled || child.Sampled() != sampled || span.TraceFlags()&sampledFlag != 0 != sampled {
				t.Errorf("%q of %q: sampled is %v", path, parent, span.Sampled())
			}
			child.End()
			span.End()
		}
	}
	below := Start(opInternal, nil)
	for path, sampled := range map[string]bool{"/healthz": false, "/": true, "": true} {
		span := StartServed(opServer, nil, path)
		child := Start(opInternal, nil)
		if span.Sampled() != sampled || child.Sampled() != sampled || !below.Sampled() {
			t.Errorf("%q below another span: sampled is %v", path, span.Sampled())
		}
		child.End()
		span.End()
	}
	below.End()
	in := Incoming{Path: "/health"}
	other := StartIncoming(opInternal, &in)
	if !other.Sampled() {
		t.Error("another operation is not meant")
	}
	other.End()
	if allocations := testing.AllocsPerRun(100, func() {
		in := Incoming{Path: "/healthz"}
		StartIncoming(opServer, &in).End()
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
	// What cannot be is nothing.
	entry := (*quietLayout)(unsafe.Pointer(&control.quiet[unsafe.Sizeof(quietLayout{})]))
	entry.size, control.quietCount = 1<<31, 1<<31
	span := StartIncoming(opServer, &Incoming{Path: "/health"})
	if !span.Sampled() {
		t.Error("a pattern without end")
	}
	span.End()
	drain(t)
}

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		matches       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "ab", false}, {"a*", "ab", true}, {"a*", "a", true},
		{"*", "", true}, {"*b", "aab", true}, {"*b", "aba", false}, {"a*c*e", "abcde", true}, {"a*c*e", "abcd", false},
		{"**", "x", true}, {"*ab", "aab", true},
	} {
		if matches([]byte(test.pattern), test.text) != test.matches {
			t.Errorf("%q, %q: not %v", test.pattern, test.text, test.matches)
		}
	}
}
