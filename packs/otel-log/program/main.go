// Program makes log records with OpenTelemetry's API and with bridges to it, inside and outside of a request. It sets no
// SDK until the end; what it says afterwards is the SDK's.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/bridges/otelzap"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/log/embedded"
	"go.opentelemetry.io/otel/log/global"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

var logger = global.Logger("shop", log.WithInstrumentationVersion("1.2.3"), log.WithSchemaURL("https://example.com/schema"))

// started is old enough to be told from now, and young enough to be after the machine's start.
var started = time.Now().Add(-10 * time.Millisecond)

func main() {
	emit(context.Background(), "outside")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{Handler: http.HandlerFunc(logs)}
	go server.Serve(listener)
	response, err := http.Get("http://" + listener.Addr().String())
	check(err)
	_, err = io.Copy(io.Discard, response.Body)
	check(err)
	check(server.Shutdown(context.Background())) // a request ends a moment after its answer

	provider := &own{}
	otel.SetLoggerProvider(provider)
	emit(context.Background(), "the program's own")
	fmt.Println("own provider:", provider.bodies)
	if logger.Enabled(context.Background(), log.EnabledParameters{}) {
		fail("the provider says that it is not enabled")
	}
}

func emit(ctx context.Context, body string, attributes ...attribute.KeyValue) {
	var record log.Record
	record.SetSeverity(log.SeverityInfo)
	record.SetSeverityText("INFO")
	record.SetBody(attribute.StringValue(body))
	record.AddAttributes(attributes...)
	logger.Emit(ctx, record)
}

func logs(_ http.ResponseWriter, r *http.Request) {
	if wanted := os.Getenv("OTEL_LOGS_EXPORTER") == "otlp"; wanted != logger.Enabled(r.Context(), log.EnabledParameters{Severity: log.SeverityDebug}) {
		fail("Enabled does not say whether records are wanted")
	}
	emit(context.Background(), "by the goroutine")
	emit(r.Context(), "by the context")
	ctx, span := otel.Tracer("shop").Start(r.Context(), "made by hand")
	emit(ctx, "in a span made by hand")
	span.End()
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	emit(trace.ContextWithRemoteSpanContext(context.Background(), remote), "of another process")

	emit(r.Context(), "values",
		attribute.String("string", "s"), attribute.Int("int", -1), attribute.Float64("float", 1.5), attribute.Bool("bool", true),
		attribute.StringSlice("strings", []string{"a", "\"b\""}), attribute.Int64Slice("ints", []int64{1, 2}),
		attribute.Float64Slice("floats", []float64{1, 2.5}), attribute.BoolSlice("bools", []bool{true, false}),
		attribute.ByteSlice("bytes", []byte("bytes")), attribute.Map("user", attribute.Int("id", 7), attribute.Map("address", attribute.String("city", "Bern"))),
		attribute.Slice("list", attribute.IntValue(1), attribute.StringValue("two"), attribute.MapValue(attribute.Bool("three", true))),
		attribute.String("string", "the last one counts"))

	var record log.Record
	record.SetTimestamp(time.Unix(1700000000, 5))
	record.SetObservedTimestamp(started)
	record.SetSeverity(log.SeverityWarn3)
	record.SetEventName("cart.emptied")
	record.SetBody(attribute.MapValue(attribute.String("a", "b"), attribute.Int64Slice("c", []int64{1})))
	record.SetErr(errors.New("no more carts"))
	logger.Emit(r.Context(), record)
	logger.Emit(r.Context(), log.Record{})

	bridge := slog.New(otelslog.NewHandler("bridge", otelslog.WithVersion("4")).WithAttrs([]slog.Attr{slog.Int("before", 1)}))
	bridge.InfoContext(r.Context(), "slog by a bridge", "number", 2)
	bridge.With("with", 3).WithGroup("group").Warn("slog by a bridge, in a group", "number", 4)
	otelslog.NewLogger("bridge", otelslog.WithSource(true)).Info("slog by a bridge that knows the place")
	slog.New(both{otelslog.NewHandler("bridge"), slog.NewJSONHandler(os.Stdout, nil)}).Info("slog by a bridge and by Go")

	zapped := zap.New(otelzap.NewCore("zap bridge"))
	zapped.Info("zap by a bridge", zap.Int("number", 5))
	zapped.With(zap.String("with", "more")).Warn("zap by a bridge, with more", zap.Int("number", 6))
	func() {
		defer func() { recover() }()
		zapped.Panic("zap by a bridge, before a panic")
	}()

	hooked := logrus.New()
	hooked.SetOutput(io.Discard)
	hooked.AddHook(hook{})
	hooked.WithContext(r.Context()).WithField("number", 7).Info("logrus by a bridge")
}

// hook is a bridge from logrus, as people write them.
type hook struct{}

func (hook) Levels() []logrus.Level { return logrus.AllLevels }
func (hook) Fire(entry *logrus.Entry) error {
	var attributes []attribute.KeyValue
	for key, value := range entry.Data {
		attributes = append(attributes, attribute.String(key, fmt.Sprint(value)))
	}
	emit(entry.Context, entry.Message, attributes...)
	return nil
}

// both is a handler that hands records to two others.
type both struct{ first, second slog.Handler }

func (b both) Enabled(context.Context, slog.Level) bool { return true }
func (b both) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b both) WithGroup(string) slog.Handler            { return b }
func (b both) Handle(ctx context.Context, record slog.Record) error {
	return errors.Join(b.first.Handle(ctx, record.Clone()), b.second.Handle(ctx, record))
}

// own is a provider of the program's own.
type own struct {
	embedded.LoggerProvider
	bodies []string
}

func (o *own) Logger(string, ...log.LoggerOption) log.Logger { return ownLogger{provider: o} }

type ownLogger struct {
	embedded.Logger
	provider *own
}

func (o ownLogger) Enabled(context.Context, log.EnabledParameters) bool { return false }
func (o ownLogger) Emit(_ context.Context, record log.Record) {
	body := record.Body()
	o.provider.bodies = append(o.provider.bodies, body.AsString())
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
