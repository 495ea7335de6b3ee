package global

import "go.opentelemetry.io/otel/trace"

func init() { trace.TandemProvider = TracerProvider }
