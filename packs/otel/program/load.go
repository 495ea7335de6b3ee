package main

import (
	"context"
	"runtime"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// load starts, ends, shares and forgets spans from many goroutines.
func load() {
	var all sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for round := 0; round < 2000; round++ {
				ctx, span := tracer.Start(context.Background(), "load")
				var some sync.WaitGroup
				for part := 0; part < 3; part++ {
					some.Add(1)
					go func() {
						defer some.Done()
						trace.SpanFromContext(ctx).SetAttributes(attribute.Int("part", part))
						_, child := tracer.Start(ctx, "part")
						child.AddEvent("event")
						if part == 2 {
							span.End()
						}
						child.End()
					}()
				}
				some.Wait()
				tracer.Start(ctx, "forgotten")
			}
		}()
	}
	all.Wait()
	runtime.GC()
}
