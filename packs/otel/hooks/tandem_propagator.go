package global

import (
	"os"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	tandem_rt "tandem/rt"
)

// tandemPropagator is what carries a trace where the program has not said: what OTEL_PROPAGATORS names of those that the API
// has itself.
func tandemPropagator() propagation.TextMapPropagator {
	if !tandem_rt.Enabled() {
		return propagation.NewCompositeTextMapPropagator()
	}
	names, set := os.LookupEnv("OTEL_PROPAGATORS")
	if !set || names == "" {
		names = "tracecontext,baggage"
	}
	var all []propagation.TextMapPropagator
	for _, name := range strings.Split(names, ",") {
		switch strings.TrimSpace(name) {
		case "tracecontext":
			all = append(all, propagation.TraceContext{})
		case "baggage":
			all = append(all, propagation.Baggage{})
		case "none":
			return propagation.NewCompositeTextMapPropagator()
		}
	}
	return propagation.NewCompositeTextMapPropagator(all...)
}
