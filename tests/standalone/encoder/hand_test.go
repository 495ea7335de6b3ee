//go:build woven

package encoder

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"tandem/rt"
	"tandem/standalone"
)

// TestMain begins again where nobody asks for log records: whether somebody does is looked at when a program starts.
func TestMain(m *testing.M) {
	if os.Getenv("OTEL_LOGS_EXPORTER") != "otlp" {
		os.Setenv("OTEL_LOGS_EXPORTER", "otlp")
		executable, failure := os.Executable()
		if failure == nil {
			failure = syscall.Exec(executable, os.Args, os.Environ())
		}
		fmt.Println(failure)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// plain is a value as Go has it.
func plain(value *common.AnyValue) any {
	switch value := value.Value.(type) {
	case *common.AnyValue_StringValue:
		return value.StringValue
	case *common.AnyValue_IntValue:
		return value.IntValue
	case *common.AnyValue_BoolValue:
		return value.BoolValue
	case *common.AnyValue_DoubleValue:
		return value.DoubleValue
	case *common.AnyValue_BytesValue:
		return value.BytesValue
	case *common.AnyValue_ArrayValue:
		list := []any{}
		for _, value := range value.ArrayValue.Values {
			list = append(list, plain(value))
		}
		return list
	case *common.AnyValue_KvlistValue:
		return pairs(value.KvlistValue.Values)
	}
	return nil
}

func pairs(list []*common.KeyValue) map[string]any {
	all := map[string]any{}
	for _, pair := range list {
		if _, twice := all[pair.Key]; twice {
			all[pair.Key+" again"] = true
		}
		all[pair.Key] = plain(pair.Value)
	}
	return all
}

func item(key string, value func([]byte) []byte) []byte {
	items, start := rt.AppendAttribute(nil, key)
	return rt.EndItem(value(items), start)
}

func text(value string) func([]byte) []byte {
	return func(to []byte) []byte { return rt.AppendString(to, value) }
}

func integer(value int64) func([]byte) []byte {
	return func(to []byte) []byte { return rt.AppendInt(to, value) }
}

func list(values ...func([]byte) []byte) func([]byte) []byte {
	return func(to []byte) []byte {
		to, start := rt.BeginList(to)
		for _, value := range values {
			to = value(to)
		}
		return rt.EndList(to, start)
	}
}

// Everything that a span made by hand can have.
func TestByHand(t *testing.T) {
	tracer := rt.NewManualOp("shop", "1.2.3", "https://example.com/schema", rt.KindProducer)
	long := strings.Repeat("ü\xff", 5000)
	data := encode(t, func() {
		span := rt.StartManual(tracer, nil, true, true)
		span.Rename("by hand")
		span.StartedAt(1_700_000_000_000_000_001, 5)
		var items []byte
		for _, more := range [][]byte{
			item("bool", func(to []byte) []byte { return rt.AppendBool(to, true) }),
			item("int", integer(math.MinInt64)),
			item("float", func(to []byte) []byte { return rt.AppendFloat(to, 0.5) }),
			item("long", text(long)),
			item("bytes", func(to []byte) []byte { return rt.AppendBytes(to, []byte{0, 255, 1, 2}) }),
			item("none", list()),
			item("list", list(text("a"), integer(-1), list(text(""), list(integer(7))))),
			item("map", func(to []byte) []byte {
				to, start := rt.BeginMap(to)
				to = list(text(strings.Repeat("x", 200)))(rt.AppendKey(to, "k\xfe"))
				return rt.EndList(rt.AppendBool(rt.AppendKey(to, ""), false), start)
			}),
			item("http.request.method", text("PUT")),
			item("replaced", text("first")),
			item("replaced", list(integer(2))),
		} {
			items = append(items, more...)
		}
		items = append(rt.AppendEvent(items, "given", 1_700_000_000_000_000_002, true), item("inside", list(text("e")))...)
		items = rt.EndGroup(items)
		items = rt.EndGroup(rt.AppendEvent(items, "now\xff", 0, false))
		items = append(rt.AppendLink(items, &[16]byte{1}, &[8]byte{2}, 1, true, "vendor=1"), item("why", text("because"))...)
		items = rt.EndGroup(items)
		items = rt.EndGroup(rt.AppendLink(items, &[16]byte{3}, &[8]byte{4}, 0, false, ""))
		items = append(items, item("after", integer(1))...)
		span.Append(items)
		span.Drop(3)
		span.SetStatus(false, "")
		span.EndedAt(1_700_000_000_000_000_009, 1)
		span.End()
	})
	span := only(t, data)
	scope := data.ResourceSpans[0].ScopeSpans[0]
	if scope.Scope.Name != "shop" || scope.Scope.Version != "1.2.3" || scope.SchemaUrl != "https://example.com/schema" {
		t.Errorf("%v %q", scope.Scope, scope.SchemaUrl)
	}
	if span.Name != "by hand" || span.Kind != trace.Span_SPAN_KIND_PRODUCER || span.Status.Code != trace.Status_STATUS_CODE_OK {
		t.Errorf("%q %v %v", span.Name, span.Kind, span.Status)
	}
	if span.EndTimeUnixNano-span.StartTimeUnixNano != 8 || span.DroppedAttributesCount != 3 {
		t.Errorf("%d to %d, %d dropped", span.StartTimeUnixNano, span.EndTimeUnixNano, span.DroppedAttributesCount)
	}
	found := pairs(span.Attributes)
	for key := range found {
		if strings.HasPrefix(key, "tandem.anatomy.") {
			delete(found, key)
		}
	}
	expected := map[string]any{
		"bool": true, "int": int64(math.MinInt64), "float": 0.5, "long": strings.Repeat("ü\uFFFD", 5000), "bytes": []byte{0, 255, 1, 2},
		"none": []any{}, "list": []any{"a", int64(-1), []any{"", []any{int64(7)}}},
		"map":                 map[string]any{"k\uFFFD": []any{strings.Repeat("x", 200)}, "": false},
		"http.request.method": "PUT", "replaced": []any{int64(2)}, "after": int64(1), "tandem.source": "api",
	}
	if !reflect.DeepEqual(found, expected) {
		t.Errorf("%q", found)
	}
	if len(span.Events) != 2 || span.Events[0].Name != "given" || span.Events[1].Name != "now\uFFFD" ||
		!reflect.DeepEqual(pairs(span.Events[0].Attributes), map[string]any{"inside": []any{"e"}}) {
		t.Errorf("%v", span.Events)
	}
	if len(span.Links) != 2 || span.Links[0].Flags != 0x301 || span.Links[0].TraceState != "vendor=1" || span.Links[1].Flags != 0x100 ||
		span.Links[1].TraceId[0] != 3 || !reflect.DeepEqual(pairs(span.Links[0].Attributes), map[string]any{"why": "because"}) {
		t.Errorf("%v", span.Links)
	}
}

// More than the limits: what the program has counted arrives.
func TestByHandBeyondTheLimits(t *testing.T) {
	tracer := rt.NewManualOp("shop", "", "", rt.KindInternal)
	span := only(t, encode(t, func() {
		span := rt.StartManual(tracer, nil, true, false)
		for index := range 140 {
			items := item(fmt.Sprint("key ", index), integer(int64(index)))
			items = rt.EndGroup(append(rt.AppendEvent(items, "tick", 0, false), item("n", integer(int64(index)))...))
			span.Append(rt.EndGroup(rt.AppendLink(items, &[16]byte{1}, &[8]byte{1}, 0, false, "")))
		}
		span.End()
	}))
	if len(span.Events) != 128 || len(span.Links) != 128 || span.DroppedAttributesCount != 12 || span.DroppedEventsCount != 12 || span.DroppedLinksCount != 12 {
		t.Errorf("%d events, %d links; dropped %d %d %d", len(span.Events), len(span.Links), span.DroppedAttributesCount, span.DroppedEventsCount, span.DroppedLinksCount)
	}
	if span.Name != "api" {
		t.Errorf("a span that got no name is %q", span.Name)
	}
}

// encodeLogs gives the log records in the rings in both forms, as protobuf's types have them.
func encodeLogs(t *testing.T, take func()) *logs.ResourceLogs {
	t.Helper()
	rt.TakeRecords(func(rt.Record) bool { return true }, nil)
	take()
	asProtobuf, asJSON := standalone.NewLogEncoder(false, os.Getenv), standalone.NewLogEncoder(true, os.Getenv)
	rt.TakeRecords(func(rt.Record) bool { return true }, func(record rt.LogRecord) {
		if !asProtobuf.Add(record) || !asJSON.Add(record) {
			t.Error("a record makes no sense")
		}
	})
	body, count := asProtobuf.Take()
	text, again := asJSON.Take()
	read, fromJSON := new(logs.LogsData), new(logs.LogsData)
	if failure := proto.Unmarshal(body, read); failure != nil || count != again {
		t.Fatalf("%v, %d %d\n%x", failure, count, again, body)
	}
	if unknown := read.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		t.Fatalf("unknown fields: %x", unknown)
	}
	request := plogotlp.NewExportRequest()
	if failure := request.UnmarshalJSON(text); failure != nil {
		t.Fatalf("%v\n%s", failure, text)
	}
	body, _ = request.MarshalProto()
	if failure := proto.Unmarshal(body, fromJSON); failure != nil {
		t.Fatal(failure)
	}
	moved := logRecords(fromJSON)[0].ObservedTimeUnixNano - logRecords(read)[0].ObservedTimeUnixNano
	for index, record := range logRecords(fromJSON) {
		if record.TimeUnixNano == record.ObservedTimeUnixNano {
			record.TimeUnixNano -= moved
		}
		record.ObservedTimeUnixNano -= moved
		if original := logRecords(read)[index]; original.Body == nil {
			original.Body = record.Body
		}
		if len(record.TraceId) == 0 {
			record.TraceId, record.SpanId = nil, nil
		}
	}
	if !proto.Equal(read, fromJSON) {
		t.Fatalf("as protobuf\n%v\nas JSON\n%v", read, fromJSON)
	}
	return read.ResourceLogs[0]
}

func logRecords(data *logs.LogsData) (all []*logs.LogRecord) {
	for _, resource := range data.ResourceLogs {
		for _, scope := range resource.ScopeLogs {
			all = append(all, scope.LogRecords...)
		}
	}
	return all
}

var library = rt.NewOp("test.log", "tandem/test/log", rt.KindInternal, "log")

// Everything that a log record can have, inside and outside of a span.
func TestLogs(t *testing.T) {
	var traceID [16]byte
	var spanID [8]byte
	long := strings.Repeat("größe ", 1000)
	resource := encodeLogs(t, func() {
		rt.StartLog(library, nil, 0, "").Emit()
		span := rt.Start(operation, nil)
		traceID, spanID = span.TraceID(), span.SpanID()
		record := rt.StartLog(library, nil, rt.SeverityWarn, "WARN")
		record.Time(1_700_000_000_000_000_003)
		record.Event("cart.emptied\xff")
		record.Body(long)
		record.Str("user", "bob")
		record.Str("user", "ann\xff")
		record.Int("int", -7)
		record.Uint("large", math.MaxUint64)
		record.Float("ratio", 0.5)
		record.Bool("retry", true)
		record.Value("ids", []byte(`[1,"a\n\u00e9\ud83d\ude00\ud83dx",null,{"b":[2.5, -0]},18446744073709551615,[]]`))
		record.Value("order", []byte(` {"id":18446744073709551615,"lines":{"count":2,"none":null},"1e2":1e2} `))
		record.Value("broken", []byte(`{"not": json`))
		record.JSON([]byte(`{"level":"info","a":1,"group":{"b":true,"c":["x","y"]},"half":"`))
		record.Omit("level")
		before := record.Open("inner")
		record.Int("deep", 1)
		record.Shut(before)
		record.Emit()
		span.End()
	})
	if scope := resource.ScopeLogs[0].Scope; scope.Name != "tandem/test/log" || scope.Version == "" {
		t.Errorf("%v", scope)
	}
	outside, inside := resource.ScopeLogs[0].LogRecords[0], resource.ScopeLogs[0].LogRecords[1]
	if outside.TimeUnixNano != outside.ObservedTimeUnixNano || outside.SeverityNumber != 0 || len(outside.TraceId) != 0 || len(outside.Attributes) != 0 {
		t.Errorf("%v", outside)
	}
	if inside.TimeUnixNano != 1_700_000_000_000_000_003 || inside.SeverityNumber != 13 || inside.SeverityText != "WARN" || inside.Flags != 1 ||
		string(inside.TraceId) != string(traceID[:]) || string(inside.SpanId) != string(spanID[:]) || inside.Body.GetStringValue() != long ||
		inside.EventName != "cart.emptied\uFFFD" || outside.EventName != "" {
		t.Errorf("%v", inside)
	}
	expected := map[string]any{
		"user": "ann\uFFFD", "int": int64(-7), "large": "18446744073709551615", "ratio": 0.5, "retry": true,
		"ids":      []any{int64(1), "a\né😀\uFFFDx", "", map[string]any{"b": []any{2.5, math.Copysign(0, -1)}}, "18446744073709551615", []any{}},
		"order.id": "18446744073709551615", "order.lines.count": int64(2), "order.1e2": 100.0, "broken": `{"not": json`,
		"a": int64(1), "group.b": true, "group.c": []any{"x", "y"}, "inner.deep": int64(1),
	}
	if found := pairs(inside.Attributes); !reflect.DeepEqual(found, expected) {
		t.Errorf("%q", found)
	}
}

// What there is a text for in JSON is read as encoding/json reads it; what is cut gives what came before.
func FuzzLogs(f *testing.F) {
	f.Add(`{"level":"info","a":1,"group":{"b":true,"c":["x",{"y":[null,-1.5e3]}]},"text":"z\u0041"}`, "body", uint16(40))
	f.Add(`[1,[2,{"a":""}]]`, "\xff", uint16(3))
	f.Add(strings.Repeat(`{"a":`, 100), "", uint16(1000))
	f.Add(strings.Repeat(`[`, 300), "", uint16(1000))
	f.Fuzz(func(t *testing.T, value, body string, size uint16) {
		resource := encodeLogs(t, func() {
			record := rt.StartLog(library, nil, 9, "INFO")
			record.Body(body)
			record.Value("value", []byte(value))
			record.Emit()
			record = rt.StartLog(library, nil, 9, "INFO")
			record.JSON([]byte(value)[:min(int(size), len(value))])
			record.Emit()
		})
		var known any
		if json.Unmarshal([]byte(value), &known) != nil || len(value) > 1000 {
			return
		}
		found := pairs(resource.ScopeLogs[0].LogRecords[0].Attributes)
		switch known := known.(type) {
		case string:
			if found["value"] != known {
				t.Errorf("%q is %q", value, found)
			}
		case bool:
			if found["value"] != known {
				t.Errorf("%q is %q", value, found)
			}
		case []any:
			if list, _ := found["value"].([]any); len(list) != len(known) && !strings.Contains(value, strings.Repeat("[", 90)) {
				t.Errorf("%q is %q", value, found)
			}
		}
	})
}
