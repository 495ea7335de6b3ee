//go:build !woven

package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"log"
	"log/slog"
	"net/http"

	"github.com/XSAM/otelsql"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log/global"
	"go.opentelemetry.io/otel/propagation"
	logs "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/trace"
	semantic "go.opentelemetry.io/otel/semconv/v1.37.0"
	api "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"example.com/bench/programs/paired"
)

// cases are each call plain and by hand: with all that the SDK does for it (its processor, OTLP, the sending), and the call
// alone, with that left for after the measurement.
func cases(figures *paired.Figures) (cases []paired.Case, finish func() error, err error) {
	flush, shutdown, err := startSDK()
	if err != nil {
		return nil, nil, err
	}
	bare, dressed := calls(plain()), calls(byHand())
	for index, each := range bare {
		length := func(kind string, of call) func() {
			return func() { figures.Counts[each.name+kind+" line"] = float64(of.lineSize()) }
		}
		do := counted(figures, dressed[index])
		cases = append(cases, paired.Case{Name: each.name + ", plain", Count: each.count, Do: each.do, Clear: length(", plain", each)})
		if each.bare {
			continue
		}
		cases = append(cases,
			paired.Case{Name: each.name + ", by hand", Count: each.count, Do: func(n int) { do(n); flush() }, Clear: length(", by hand", dressed[index])},
			paired.Case{Name: each.name + ", by hand unsent", Count: each.count, Do: do, Clear: flush})
	}
	return cases, shutdown, nil
}

// startSDK starts it as its documentation shows: batch processors and OTLP. OTEL_EXPORTER_OTLP_ENDPOINT says where to.
func startSDK() (flush func(), shutdown func() error, err error) {
	ctx := context.Background()
	spanExporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, err
	}
	logExporter, err := otlploghttp.New(ctx)
	if err != nil {
		return nil, nil, err
	}
	spans := trace.NewTracerProvider(trace.WithBatcher(spanExporter))
	records := logs.NewLoggerProvider(logs.WithProcessor(logs.NewBatchProcessor(logExporter)))
	otel.SetTracerProvider(spans)
	global.SetLoggerProvider(records)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	flush = func() {
		for _, flush := range []func(context.Context) error{spans.ForceFlush, records.ForceFlush} {
			if err := flush(ctx); err != nil {
				log.Fatal(err)
			}
		}
	}
	shutdown = func() error {
		if err := records.Shutdown(ctx); err != nil {
			return err
		}
		return spans.Shutdown(ctx)
	}
	return flush, shutdown, nil
}

func byHand() instruments {
	return instruments{
		byHand:    true,
		handler:   func(handler http.Handler) http.Handler { return otelhttp.NewHandler(handler, "hello") },
		transport: func(transport http.RoundTripper) http.RoundTripper { return otelhttp.NewTransport(transport) },
		server:    []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler())},
		client:    []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler())},
		// One span a call, like ours; by default it makes three.
		database: func(connector driver.Connector) *sql.DB {
			return otelsql.OpenDB(connector, otelsql.WithAttributes(semantic.DBSystemNameOtherSQL),
				otelsql.WithSpanOptions(otelsql.SpanOptions{OmitConnResetSession: true, OmitRows: true, OmitConnectorConnect: true}))
		},
		ids: func(handler slog.Handler) slog.Handler { return withIDs{handler} },
		records: func(handler slog.Handler) slog.Handler {
			return slog.NewMultiHandler(withIDs{handler}, otelslog.NewHandler("bench"))
		},
		logger: func() *log.Logger {
			return slog.NewLogLogger(slog.NewMultiHandler(slog.NewTextHandler(nobody{}, nil), otelslog.NewHandler("bench")), slog.LevelInfo)
		},
		span: func(do func(context.Context)) {
			ctx, span := otel.Tracer("bench").Start(context.Background(), "request")
			do(ctx)
			span.End()
		},
	}
}

// withIDs adds trace ids to each line. No contrib library does; this is how it is done by hand.
type withIDs struct{ slog.Handler }

func (w withIDs) Handle(ctx context.Context, record slog.Record) error {
	if span := api.SpanContextFromContext(ctx); span.IsValid() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return w.Handler.Handle(ctx, record)
}
