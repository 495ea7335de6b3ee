package slog

import (
	"context"
	"errors"
	"internal/race"
	"io"
	"log"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	tandem_rt "tandem/rt"
)

// Log records are wanted by the environment that a process starts with: tests that need some run again with it.
func tandemWithLogs(t *testing.T) bool {
	if tandem_rt.Logs() {
		return true
	}
	again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), "OTEL_LOGS_EXPORTER=otlp")
	if output, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	return false
}

type tandemOther struct{}

func (tandemOther) Enabled(context.Context, Level) bool  { return true }
func (tandemOther) Handle(context.Context, Record) error { return nil }
func (h tandemOther) WithAttrs([]Attr) Handler           { return h }
func (h tandemOther) WithGroup(string) Handler           { return h }

// A record that is recorded allocates nothing that the same record without it does not.
func TestTandemLogAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("sync.Pool forgets at random then")
	}
	for name, logger := range map[string]*Logger{
		"json":  New(NewJSONHandler(io.Discard, nil)).With("with", 1).WithGroup("group"),
		"text":  New(NewTextHandler(io.Discard, nil)),
		"other": New(tandemOther{}).With("with", 1).WithGroup("group"),
	} {
		err, now := errors.New("no"), time.Now()
		span := tandem_rt.Start(tandemTestOp, nil)
		context := context.Background()
		work := func() {
			logger.LogAttrs(context, LevelInfo, "message", Int("key", 1), String("text", "value"), Duration("took", time.Second), Time("at", now))
			logger.LogAttrs(context, LevelWarn+1, "message", Any("error", err))
		}
		key := "TANDEM_TEST_" + name
		count := testing.AllocsPerRun(100, work)
		if !tandem_rt.Logs() {
			os.Setenv(key, string(rune('0'+int(count))))
		} else if os.Getenv(key) != string(rune('0'+int(count))) {
			t.Errorf("%s: %v allocations, %s without log records", name, count, os.Getenv(key))
		}
		span.End()
	}
	tandemWithLogs(t)
}

// A handler that panics, or ends the goroutine, leaves no record on its way.
func TestTandemLogAfterPanic(t *testing.T) {
	if !tandemWithLogs(t) {
		return
	}
	logger := New(tandemFails{})
	func() {
		defer func() { recover() }()
		logger.Info("panics")
	}()
	if tandem_rt.IsLogInside() {
		t.Error("after a panic")
	}
	done := make(chan bool)
	go func() {
		defer func() { done <- tandem_rt.IsLogInside() }()
		New(tandemExits{}).Info("exits")
	}()
	if <-done {
		t.Error("after runtime.Goexit")
	}
}

type tandemFails struct{ tandemOther }

func (tandemFails) Handle(context.Context, Record) error { panic("no") }

type tandemExits struct{ tandemOther }

func (tandemExits) Handle(context.Context, Record) error { runtime.Goexit(); return nil }

// Values of all kinds, some of whose code panics, harm nobody.
func TestTandemLogValues(t *testing.T) {
	if !tandemWithLogs(t) {
		return
	}
	logger := New(tandemOther{})
	logger.Info("values", "nil", nil, "func", func() {}, "chan", make(chan int), "panics", tandemPanics{}, "nil pointer", (*tandemPanics)(nil),
		"endless", tandemEndless{}, "source", (*Source)(nil), Attr{})
	log.New(&handlerWriter{tandemOther{}, LevelError, false}, "", 0).Print("through log")
}

type tandemPanics struct{ x int }

func (p tandemPanics) MarshalJSON() ([]byte, error) { panic(p.x) }

type tandemEndless struct{}

func (e tandemEndless) LogValue() Value { return GroupValue(Any("e", e)) }
