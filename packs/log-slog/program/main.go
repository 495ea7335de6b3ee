// Program logs with log/slog in all the ways that Tandem's pack has to tell apart, inside and outside of a request. What
// it logs inside carries the request's trace and span id.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stdout)
	outside := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	outside.Info("outside")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{Handler: http.HandlerFunc(logs)}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String())
	check(err)
	_, err = io.Copy(io.Discard, response.Body)
	check(err)
	check(server.Shutdown(context.Background())) // a request ends a moment after its answer
}

func logs(_ http.ResponseWriter, r *http.Request) {
	slog.Info("default", "number", 1)
	json := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	json.Info("json", "number", 2)
	json.InfoContext(r.Context(), "json with context")
	json.WithGroup("group").With("with", 3).LogAttrs(context.Background(), slog.LevelWarn, "json in a group", slog.Int("number", 4))
	json.Info("own id", "trace_id", "mine")
	json.With("trace_id", "mine").Info("own id before")
	text := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: upper}))
	text.Info("text, replaced", "number", 5)
	hides := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: hide}))
	hides.With("password", "1234").WithGroup("user").Info("hidden", "password", "5678", slog.Group("inner", "password", "90"))
	slog.New(&wrapper{slog.NewJSONHandler(os.Stdout, nil)}).Info("nested handlers", "number", 6)
	slog.New(&lines{}).Info("somebody else's handler", "number", 7)
	slog.New(&lines{}).With("with", 8).WithGroup("group").Info("somebody else's handler in a group", "number", 9)
	json.Debug("nobody sees this")
	json.Log(r.Context(), slog.LevelWarn+2, "between levels", slog.Group("group", slog.Duration("took", 1500*time.Millisecond), slog.Group("", slog.Bool("deep", true))),
		"list", []string{"a", "b"}, "map", map[string]any{"x": 1.5}, "error", errors.New("no"), "large", uint64(math.MaxUint64), "valuer", valuer{}, "at", time.Unix(1700000000, 0))
	slog.New(&forwards{json}).Info("handed on to another logger", "number", 10)
	record := slog.NewRecord(time.Now(), slog.LevelInfo, "made by hand", 0)
	check(json.With("with", 11).Handler().Handle(r.Context(), record))
	slog.New(&later{json.Handler()}).Info("written by another goroutine", "number", 12)
}

// upper is a ReplaceAttr that sees every attribute.
func upper(groups []string, attribute slog.Attr) slog.Attr {
	if attribute.Key == slog.TimeKey {
		return slog.Attr{}
	}
	attribute.Key = "x." + attribute.Key
	return attribute
}

// hide is a ReplaceAttr that hides secrets.
func hide(_ []string, attribute slog.Attr) slog.Attr {
	if attribute.Key == "password" {
		attribute.Value = slog.StringValue("…")
	}
	return attribute
}

// wrapper is a handler around another, as people write them.
type wrapper struct{ slog.Handler }

func (w *wrapper) Handle(ctx context.Context, record slog.Record) error {
	record.AddAttrs(slog.Bool("wrapped", true))
	return w.Handler.Handle(ctx, record)
}

// lines is a handler that has nothing to do with Go's own.
type lines struct{}

func (*lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *lines) WithGroup(string) slog.Handler          { return l }
func (*lines) Handle(_ context.Context, record slog.Record) error {
	fmt.Print(record.Message)
	record.Attrs(func(attribute slog.Attr) bool {
		fmt.Print(" ", attribute)
		return true
	})
	fmt.Println()
	return nil
}

// forwards is a handler that hands records on to a logger.
type forwards struct{ logger *slog.Logger }

func (*forwards) Enabled(context.Context, slog.Level) bool { return true }
func (f *forwards) WithAttrs([]slog.Attr) slog.Handler     { return f }
func (f *forwards) WithGroup(string) slog.Handler          { return f }
func (f *forwards) Handle(ctx context.Context, record slog.Record) error {
	var attributes []slog.Attr
	record.Attrs(func(attribute slog.Attr) bool {
		attributes = append(attributes, attribute)
		return true
	})
	f.logger.LogAttrs(ctx, record.Level, record.Message, attributes...)
	return nil
}

// later is a handler that has records written elsewhere.
type later struct{ slog.Handler }

func (l *later) Handle(_ context.Context, record slog.Record) error {
	done := make(chan error)
	go func() { done <- l.Handler.Handle(context.Background(), record) }()
	return <-done
}

type valuer struct{}

func (valuer) LogValue() slog.Value { return slog.GroupValue(slog.Int("number", 13)) }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
