package global

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	tandem_rt "tandem/rt"
)

func tandemMust[I any](instrument I, err error) I {
	if err != nil {
		panic(err)
	}
	return instrument
}

// TestTandemMeterAllocations: once a series is there, nothing is allocated but what the API's own options are.
func TestTandemMeterAllocations(t *testing.T) {
	meter := new(meterProvider).Meter("allocations")
	counter := tandemMust(meter.Int64Counter("counter"))
	sum := tandemMust(meter.Float64UpDownCounter("sum"))
	gauge := tandemMust(meter.Int64Gauge("gauge"))
	histogram := tandemMust(meter.Float64Histogram("histogram"))
	set := attribute.NewSet(attribute.String("a", "b"), attribute.Int("c", 1))
	add := []metric.AddOption{metric.WithAttributeSet(set)}
	record := []metric.RecordOption{metric.WithAttributeSet(set)}
	ctx := context.Background()
	if allocations := testing.AllocsPerRun(200, func() {
		counter.Add(ctx, 1)
		counter.Add(ctx, 1, add...)
		sum.Add(ctx, 1, add...)
		gauge.Record(ctx, 1, record...)
		histogram.Record(ctx, 1)
		histogram.Record(ctx, 1, record...)
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

// TestTandemMeterIsBounded: however many sets come from however many goroutines, a metric has so many series, and each has one.
func TestTandemMeterIsBounded(t *testing.T) {
	const goroutines, sets = 4, tandemLimit + 100
	counter := tandemMust(new(meterProvider).Meter("bounded").Int64Counter("counter")).(*siCounter)
	var group sync.WaitGroup
	for range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			for number := range sets {
				counter.Add(context.Background(), 1, metric.WithAttributes(attribute.Int("number", number)))
			}
		}()
	}
	group.Wait()
	series := *counter.tandem.series.Load()
	if tandem_rt.Enabled() && len(series) > tandemLimit-1 || counter.tandem.rest == nil {
		t.Errorf("%d series", len(series))
	}
}

// TestTandemMeterRounds: callbacks that panic are not called again, what is not observed in a round has no series, and an
// observer that is kept is of no use.
func TestTandemMeterRounds(t *testing.T) {
	meter := new(meterProvider).Meter("rounds")
	gauge := tandemMust(meter.Int64ObservableGauge("gauge"))
	var kept metric.Observer
	calls, panics := 0, 0
	tandemMust(meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		calls++
		kept = o
		o.ObserveInt64(gauge, 1, metric.WithAttributes(attribute.Int("call", calls)))
		return fmt.Errorf("nobody reads it")
	}, gauge))
	tandemMust(meter.RegisterCallback(func(context.Context, metric.Observer) error {
		panics++
		panic("once")
	}))
	observed := gauge.(*aiGauge).tandem
	for round := 1; round <= 3; round++ {
		tandemRound()
		if series := *observed.series.Load(); len(series) != 1 || calls != round || panics != 1 {
			t.Errorf("round %d: %d series, %d calls, %d panics", round, len(series), calls, panics)
		}
	}
	kept.ObserveInt64(gauge, 1)
	if observed.bare.Load() != nil {
		t.Error("it was observed between the rounds")
	}
}

// TestTandemMeterKnown: what a library counts of its own calls is not counted twice.
func TestTandemMeterKnown(t *testing.T) {
	name := "http.server.request.duration"
	library := tandemMust(new(meterProvider).Meter("go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp").Float64Histogram(name))
	own := tandemMust(new(meterProvider).Meter("own").Float64Histogram(name))
	if library.(*sfHistogram).tandem != nil || own.(*sfHistogram).tandem == nil {
		t.Error("it is the library's that is Tandem's already")
	}
}

func BenchmarkTandemMeter(b *testing.B) {
	counter := tandemMust(new(meterProvider).Meter("benchmark").Int64Counter("counter"))
	set := []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(attribute.String("a", "b"), attribute.Int("c", 1)))}
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			counter.Add(context.Background(), 1)
		}
	})
	b.Run("set", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			counter.Add(context.Background(), 1, set...)
		}
	})
	b.Run("attributes", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			counter.Add(context.Background(), 1, metric.WithAttributes(attribute.String("a", "b"), attribute.Int("c", 1)))
		}
	})
}
