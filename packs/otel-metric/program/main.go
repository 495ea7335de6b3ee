// Program counts with OpenTelemetry's API: every kind of instrument, with attributes of every type, by callbacks, and more
// series than a metric may have. It sets no provider until it is told to by its input; what it counts afterwards is the
// provider's.
package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

var (
	meter = otel.Meter("shop", metric.WithInstrumentationVersion("1.2.3"), metric.WithSchemaURL("https://example.com/schema"))
	other = otel.Meter("another")
	ctx   = context.Background()
)

func main() {
	numbers()
	attributes()
	several()
	asked()
	fmt.Println("counted")

	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		switch input.Text() {
		case "less":
			fewer.Store(true)
		case "provider":
			otel.SetMeterProvider(noop.NewMeterProvider())
			numbers()
			fmt.Println("a provider is set")
		}
	}
}

// numbers are of every kind that is told.
func numbers() {
	orders := made(meter.Int64Counter("orders", metric.WithUnit("{order}"), metric.WithDescription("Orders\nthat came.")))
	orders.Add(ctx, 2)
	orders.Add(ctx, 3)
	orders.Add(ctx, -100)                                                      // a counter never falls
	made(meter.Int64Counter("orders", metric.WithUnit("{order}"))).Add(ctx, 1) // the same one
	made(other.Int64Counter("orders", metric.WithUnit("{order}"))).Add(ctx, 1) // another scope's

	made(meter.Float64Counter("weight", metric.WithUnit("kg"))).Add(ctx, 1.5)
	weight := made(meter.Float64Counter("weight", metric.WithUnit("kg")))
	weight.Add(ctx, 0.25)
	weight.Add(ctx, math.NaN())
	weight.Add(ctx, math.Inf(1))

	made(meter.Int64UpDownCounter("queue")).Add(ctx, -4)
	made(meter.Float64UpDownCounter("balance")).Add(ctx, -0.5)
	made(meter.Int64Gauge("volume")).Record(ctx, 7)
	temperature := made(meter.Float64Gauge("temperature", metric.WithUnit("Cel")))
	temperature.Record(ctx, 20)
	temperature.Record(ctx, -3.5)

	size := made(meter.Int64Histogram("size", metric.WithUnit("By")))
	for _, bytes := range []int64{0, 1, 5, 6, 10000, 10001} {
		size.Record(ctx, bytes)
	}
	took := made(meter.Float64Histogram("took", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(0.5, 1)))
	for _, seconds := range []float64{0.25, 0.5, 0.75, 2} {
		took.Record(ctx, seconds)
	}
	made(meter.Float64Histogram("unsorted", metric.WithExplicitBucketBoundaries(2, 1))).Record(ctx, 1)
}

func attributes() {
	counter := made(meter.Int64Counter("attributes"))
	with := func(attributes ...attribute.KeyValue) { counter.Add(ctx, 1, metric.WithAttributes(attributes...)) }
	with(attribute.String("string", "s"), attribute.Int("int", -1), attribute.Float64("float", 1.5), attribute.Bool("bool", true))
	with(attribute.StringSlice("strings", []string{"a", "\"b\"\n"}), attribute.Int64Slice("ints", []int64{1, 2}),
		attribute.Float64Slice("floats", []float64{1, 2.5}), attribute.BoolSlice("bools", []bool{true, false}))
	with(attribute.String("k=e\\y\n", "line\nbreak = \\n"), attribute.String("", "no key"))
	// However they come, they are one set, and the last value of a key counts.
	with(attribute.Int("a", 1), attribute.Int("b", 2))
	with(attribute.Int("b", 3), attribute.Int("b", 2), attribute.Int("a", 1))
	counter.Add(ctx, 1, metric.WithAttributes(attribute.Int("a", 1)), metric.WithAttributeSet(attribute.NewSet(attribute.Int("b", 2))))
	counter.Add(ctx, 1, metric.WithAttributes())
	with(attribute.String("long", strings.Repeat("x", 1000))) // has no room: in the series for the rest
}

// several is more than there may be.
func several() {
	counter := made(meter.Int64Counter("several"))
	for number := range 3000 {
		counter.Add(ctx, 1, metric.WithAttributes(attribute.Int("number", number)))
	}
}

var fewer atomic.Bool

// asked are numbers that somebody has to ask for.
func asked() {
	made(meter.Int64ObservableCounter("asked.counter", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(10)
		o.Observe(11, metric.WithAttributes(attribute.String("kind", "always")))
		if !fewer.Load() {
			o.Observe(12, metric.WithAttributes(attribute.String("kind", "sometimes")))
		}
		return nil
	})))
	made(meter.Float64ObservableUpDownCounter("asked.sum", metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
		o.Observe(-1.25)
		return nil
	})))
	first := made(meter.Int64ObservableGauge("asked.first"))
	second := made(meter.Float64ObservableGauge("asked.second"))
	never := made(meter.Int64ObservableGauge("asked.never"))
	check(meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(first, 1)
		o.ObserveFloat64(second, 2.5, metric.WithAttributes(attribute.Bool("yes", true)))
		return fmt.Errorf("nobody asks")
	}, first, second))
	taken := check(meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(never, 1)
		return nil
	}, never))
	if err := taken.Unregister(); err != nil {
		panic(err)
	}
	check(meter.RegisterCallback(func(context.Context, metric.Observer) error { panic("nobody would have called it") }))
}

func made[I any](instrument I, err error) I { return check(instrument, err) }

func check[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
