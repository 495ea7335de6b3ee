package log

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"reflect"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	tandem_rt "tandem/rt"
)

// Log records are wanted by the environment that a process starts with: tests that need some run again with it.
func tandemWithLogs(t *testing.T) bool {
	if tandem_rt.Logs() {
		return true
	}
	again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), "OTEL_LOGS_EXPORTER=otlp")
	if output, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	return false
}

// TestTandemLoggerAllocations: a record of texts, numbers and groups costs nothing beyond what the program made.
func TestTandemLoggerAllocations(t *testing.T) {
	if !tandemWithLogs(t) {
		return
	}
	var record Record
	record.SetTimestamp(time.Now())
	record.SetObservedTimestamp(time.Now())
	record.SetSeverityText("INFO")
	record.SetBody(attribute.StringValue("body"))
	record.SetEventName("event")
	record.AddAttributes(attribute.String("a", "b"), attribute.Int("c", 1), attribute.Bool("d", true), attribute.Float64("e", 1))
	logger := new(TandemLogger)
	if allocations := testing.AllocsPerRun(200, func() {
		logger.TandemEmit(context.Background(), "test", nil, &record)
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
	if tandem_rt.Enabled() && logger.operation.Load() == nil {
		t.Error("nothing was recorded")
	}
}

// TestTandemLoggerOnce: what is on its way from a library is taken, so that the library does not record it too; what another
// took is not.
func TestTandemLoggerOnce(t *testing.T) {
	if !tandemWithLogs(t) {
		return
	}
	emit := func(body attribute.Value) {
		var record Record
		record.SetBody(body)
		new(TandemLogger).TandemEmit(nil, "test", nil, &record) //nolint:staticcheck // programs do that
	}
	const message = "message"
	before := tandem_rt.EnterLog(message)
	emit(attribute.StringValue("another"))
	emit(attribute.IntValue(1))
	if !tandem_rt.LeaveLog(before, message) {
		t.Error("records of others took it")
	}
	before = tandem_rt.EnterLog(message)
	emit(attribute.StringValue(message))
	if tandem_rt.LeaveLog(before, message) {
		t.Error("it is not taken")
	}
}

// TestTandemJSON: lists and maps are JSON text, whatever is in them.
func TestTandemJSON(t *testing.T) {
	value := attribute.SliceValue(attribute.StringValue("\"\x00\xff\n"), attribute.Float64Value(math.NaN()), attribute.Float64Value(1e300), attribute.Float64Value(2),
		attribute.ByteSliceValue([]byte{0}), attribute.Value{}, attribute.BoolSliceValue([]bool{true, false}), attribute.StringSliceValue(nil),
		attribute.MapValue(attribute.Int("a\"", 1), attribute.Int64Slice("b", []int64{2, 3})))
	text := tandemText(&value)
	var read any
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	want := []any{"\"\x00\ufffd\n", "NaN", 1e300, 2.0, "AA==", nil, []any{true, false}, []any{}, map[string]any{"a\"": 1.0, "b": []any{2.0, 3.0}}}
	if !reflect.DeepEqual(read, want) {
		t.Errorf("%v instead of %v", read, want)
	}
	deep := attribute.IntValue(1)
	for range 100 {
		deep = attribute.SliceValue(deep)
	}
	if text := tandemText(&deep); len(text) > 100 {
		t.Error(text)
	}
}
