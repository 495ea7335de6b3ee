// Program zap logs with zap in all the ways that Tandem's pack has to tell apart, inside and outside of a request.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

var (
	config  = zapcore.EncoderConfig{MessageKey: "msg", LevelKey: "level", EncodeLevel: zapcore.LowercaseLevelEncoder, NameKey: "logger", EncodeDuration: zapcore.StringDurationEncoder, EncodeTime: zapcore.RFC3339TimeEncoder}
	json    = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(config), os.Stdout, zap.InfoLevel))
	console = zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(config), os.Stdout, zap.InfoLevel), zap.AddCaller())
)

func main() {
	json.Info("outside")
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

func logs(http.ResponseWriter, *http.Request) {
	json.Info("kinds",
		zap.Bool("bool", true), zap.Int("int", -1), zap.Uint64("large", math.MaxUint64), zap.Float32("float", 0.5),
		zap.Duration("took", 1500*time.Millisecond), zap.Time("at", time.Unix(1700000000, 5).UTC()), zap.Error(errors.New("no")),
		zap.ByteString("bytes", []byte("größe")), zap.Strings("strings", []string{"a", "b"}), zap.Stringer("stringer", net.IPv4(127, 0, 0, 1)),
		zap.Any("map", map[string]int{"x": 1}), zap.Object("item", item{"book", 2}), zap.Complex128("complex", 1i), zap.Skip())
	json.Debug("nobody sees this")
	console.Named("cart").With(zap.Int("with", 1)).Warn("console", zap.String("key", "value"))
	json.With(zap.Int("with", 1), zap.Namespace("inside"), zap.Int("deep", 2)).Error("in a namespace", zap.Int("here", 3))
	json.Sugar().With("sugar", true).Infof("formatted %d", 4)
	json.Sugar().Infow("with keys", "number", 5)
	json.Info("own id", zap.String("trace_id", "mine"))
	json.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return zapcore.NewTee(core, &lines{}) })).Info("two cores", zap.Int("number", 6))
	withLazy(json, zap.Int("lazy", 7)).Info("lazy")
	zap.NewStdLog(json).Print("of log")
	restore, err := zap.RedirectStdLogAt(json, zap.WarnLevel)
	check(err)
	log.Print("of log, as a warning")
	restore()
	func() {
		defer func() { recover() }()
		json.Panic("panics")
	}()
}

type item struct {
	name  string
	count int
}

func (i item) MarshalLogObject(encoder zapcore.ObjectEncoder) error {
	encoder.AddString("name", i.name)
	encoder.AddInt("count", i.count)
	return nil
}

// lines is a core that has nothing to do with zap's own.
type lines struct{}

func (*lines) Enabled(zapcore.Level) bool          { return true }
func (l *lines) With([]zapcore.Field) zapcore.Core { return l }
func (*lines) Sync() error                         { return nil }
func (l *lines) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return checked.AddCore(entry, l)
}
func (*lines) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	fmt.Print(entry.Message)
	for _, field := range fields {
		fmt.Print(" ", field.Key, "=", field.String, field.Integer)
	}
	fmt.Println()
	return nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
