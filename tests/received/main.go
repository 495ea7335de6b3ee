// Received is a program with an OpenTelemetry SDK of its own, not woven, for tests of what takes OTLP: it makes known spans, log
// records and numbers, and sends them.
//
//	received grpc|http ADDRESS [COUNT]
//
// Of COUNT requests (default 20) every fourth fails; each has a client's span below it.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) < 3 {
		return fmt.Errorf("usage: received grpc|http ADDRESS [COUNT]")
	}
	count := 20
	if len(os.Args) > 3 {
		number, err := strconv.Atoi(os.Args[3])
		if err != nil {
			return err
		}
		count = number
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	spans, records, numbers, err := exporters(ctx, os.Args[1], os.Args[2])
	if err != nil {
		return err
	}
	what := resource.NewSchemaless(attribute.String("service.name", "sender"), attribute.String("service.version", "1.2.3"))
	tracing := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans), sdktrace.WithResource(what))
	logging := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(records)), sdklog.WithResource(what))
	metering := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(numbers)), sdkmetric.WithResource(what))
	if err := work(ctx, tracing, logging, metering, count); err != nil {
		return err
	}
	for _, shutdown := range []func(context.Context) error{tracing.Shutdown, logging.Shutdown, metering.Shutdown} {
		if err := shutdown(ctx); err != nil {
			return err
		}
	}
	return nil
}

func exporters(ctx context.Context, protocol, address string) (sdktrace.SpanExporter, sdklog.Exporter, sdkmetric.Exporter, error) {
	if protocol == "grpc" {
		spans, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(address), otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip"))
		if err != nil {
			return nil, nil, nil, err
		}
		records, err := otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(address), otlploggrpc.WithInsecure())
		if err != nil {
			return nil, nil, nil, err
		}
		numbers, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(address), otlpmetricgrpc.WithInsecure())
		return spans, records, numbers, err
	}
	spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(address), otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		return nil, nil, nil, err
	}
	records, err := otlploghttp.New(ctx, otlploghttp.WithEndpoint(address), otlploghttp.WithInsecure())
	if err != nil {
		return nil, nil, nil, err
	}
	numbers, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(address), otlpmetrichttp.WithInsecure())
	return spans, records, numbers, err
}

func work(ctx context.Context, tracing trace.TracerProvider, logging log.LoggerProvider, metering metric.MeterProvider, count int) error {
	tracer, logger, meter := tracing.Tracer("by-hand", trace.WithInstrumentationVersion("0.1")), logging.Logger("by-hand"), metering.Meter("by-hand")
	orders, err := meter.Int64Counter("orders", metric.WithUnit("{order}"), metric.WithDescription("Orders that came."))
	if err != nil {
		return err
	}
	took, err := meter.Float64Histogram("took", metric.WithExplicitBucketBoundaries(0.5, 1))
	if err != nil {
		return err
	}
	load, err := meter.Float64Gauge("load")
	if err != nil {
		return err
	}
	for index := range count {
		code := 200
		if index%4 == 3 {
			code = 500
		}
		request, server := tracer.Start(ctx, "GET /items", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", "GET"), attribute.String("http.route", "/items"), attribute.String("url.scheme", "http"),
			attribute.Int("http.response.status_code", code), attribute.String("user.email", "jo@example.com"),
			attribute.String("card", "4111 1111 1111 1111"), attribute.StringSlice("list", []string{"a", "b"})))
		server.AddEvent("began", trace.WithAttributes(attribute.String("user.email", "jo@example.com")))
		_, client := tracer.Start(request, "SELECT items", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("db.system.name", "postgresql"), attribute.String("db.operation.name", "SELECT"), attribute.String("server.address", "db.example")))
		client.End()
		if code == 500 {
			server.SetStatus(codes.Error, "no items")
		}
		var record log.Record
		record.SetBody(attribute.StringValue("served for card 4111 1111 1111 1111"))
		record.SetSeverity(log.SeverityInfo)
		record.SetTimestamp(time.Now())
		record.AddAttributes(attribute.String("user.email", "jo@example.com"), attribute.Int("code", code))
		logger.Emit(request, record)
		server.End()
		orders.Add(ctx, 2, metric.WithAttributes(attribute.Int("code", code), attribute.String("user.email", "jo@example.com")))
		took.Record(ctx, 0.75)
		load.Record(ctx, 1.5)
	}
	return nil
}
