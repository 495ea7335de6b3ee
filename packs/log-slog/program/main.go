// Program logs with log/slog in all the ways that Tandem's pack has to tell apart, inside and outside of a request. What
// it logs inside carries the request's trace and span id.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
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
	slog.New(&wrapper{slog.NewJSONHandler(os.Stdout, nil)}).Info("nested handlers", "number", 6)
	slog.New(&lines{}).Info("somebody else's handler", "number", 7)
}

// upper is a ReplaceAttr that sees every attribute.
func upper(groups []string, attribute slog.Attr) slog.Attr {
	if attribute.Key == slog.TimeKey {
		return slog.Attr{}
	}
	attribute.Key = "x." + attribute.Key
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

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
