package redis

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"tandem/rt"
)

var testOp = rt.NewOp("test.redis", "tandem/test", rt.KindClient, Name)

// What describes an operation costs no allocation.
func TestNothingIsAllocated(t *testing.T) {
	if span := rt.Start(testOp, nil); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	for name, describe := range map[string]func(*rt.Span){
		"command": func(span *rt.Span) { Command(span, System, "set", 3) },
		"long":    func(span *rt.Span) { Command(span, System, "mset", 300) },
		"server":  func(span *rt.Span) { Server(span, "tcp", "cache.example:6380", 15) },
		"pipeline": func(span *rt.Span) {
			var batch Batch
			for i := 0; i < 100; i++ {
				batch.Add("get", 1)
			}
			batch.Describe(span, System, Pipeline)
		},
	} {
		if n := testing.AllocsPerRun(1000, func() {
			span := rt.Start(testOp, nil)
			describe(span)
			End(span, nil, false)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// A name that may be data is not shown.
func TestOperation(t *testing.T) {
	for name, want := range map[string]string{
		"get": "get", "FT.SEARCH": "FT.SEARCH", "my_command-2": "my_command-2",
		"": "_OTHER", "user@example.com": "_OTHER", "a b": "_OTHER", strings.Repeat("x", 33): "_OTHER",
	} {
		if got := Operation(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

// The text of a batch ends where the room does, between two commands.
func TestBatchText(t *testing.T) {
	var batch Batch
	for i := 0; i < 100; i++ {
		batch.Add("set", 2)
	}
	text := string(batch.text[:batch.used])
	if !batch.skipped || batch.size != 100 || batch.mixed || len(text) < 200 || strings.Trim(text, "; ?set") != "" || !strings.HasSuffix(text, "set ? ?") {
		t.Errorf("%+v %q", batch, text)
	}
	batch = Batch{}
	batch.Add("get", 1)
	batch.Add("mset", 40)
	if text := string(batch.text[:batch.used]); text != "get ?; mset"+marks+more || !batch.mixed {
		t.Errorf("%q", text)
	}
}

func TestAddress(t *testing.T) {
	for address, want := range map[string]struct {
		host string
		port int64
	}{
		"localhost:6379":     {"localhost", 6379},
		":6379":              {"", 6379},
		"[::1]:7000":         {"::1", 7000},
		"[::1]":              {"::1", 0},
		"cache":              {"cache", 0},
		"cache:http":         {"cache:http", 0},
		"cache:999999999999": {"cache:999999999999", 0},
	} {
		if host, port := splitAddress(address); host != want.host || port != want.port {
			t.Errorf("%s: %q %d", address, host, port)
		}
	}
}

type odd struct{}

func (*odd) Error() string { panic("odd") }

// An error reply is named by its prefix, without what it quotes; others by their Go type, and nothing panics.
func TestFailures(t *testing.T) {
	for text, want := range map[string]string{
		"WRONGTYPE Operation against a key": "WRONGTYPE", "ERR": "ERR", "MOVED 3 1.2.3.4:5": "MOVED",
		"redis: client is closed": "", "I am": "", "": "",
	} {
		if got := prefix(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		" unknown command 'secret', with args beginning with: 'it' 's' ": "unknown command '?', with args beginning with: '?' '?' ",
		" Can't do it": "Can't do it",
		" open `x":     "open `?`",
	} {
		if got := described(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("read: %w", io.EOF), "io.EOF"},
		{errors.New("context canceled"), "context.Canceled"},
		{errors.New("x"), "*errors.errorString"},
	} {
		if got := Kind(test.err); got != test.want {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
	span := rt.Start(testOp, nil)
	End(span, (*odd)(nil), true)
	if rt.Current() != nil {
		t.Error("the span has not ended")
	}
}

func BenchmarkCommand(b *testing.B) {
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		span := rt.Start(testOp, nil)
		Command(span, System, "set", 3)
		Server(span, "tcp", "cache.example:6380", 15)
		End(span, nil, false)
	}
}
