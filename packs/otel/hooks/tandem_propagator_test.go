package global

import "testing"

// TestTandemPropagator: without a word of the program, trace context and baggage are carried.
func TestTandemPropagator(t *testing.T) {
	t.Setenv("OTEL_PROPAGATORS", "none")
	if fields := tandemPropagator().Fields(); len(fields) != 0 {
		t.Errorf("none carries %v", fields)
	}
	t.Setenv("OTEL_PROPAGATORS", "")
	if fields := tandemPropagator().Fields(); len(fields) != 3 {
		t.Errorf("by default %v are carried", fields)
	}
}
