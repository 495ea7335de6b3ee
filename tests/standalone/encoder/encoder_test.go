//go:build woven

// Package encoder compares what tandem/standalone writes with what OpenTelemetry's own types read. It can only be built by
// `tandem go test -tags woven`: the package that it tests is part of the woven standard library.
package encoder

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"tandem/rt"
	"tandem/standalone"
)

var (
	operation = rt.NewOp("test.operation", "tandem/test", rt.KindClient, "{http.request.method} {http.route}|{test.number}")
	other     = rt.NewOp("test.other", "tandem/other", rt.KindConsumer, "")
	number    = rt.NewKey("test.number")
	flag      = rt.NewKey("test.flag")
	ratio     = rt.NewKey("test.ratio")
)

// encode gives the spans in the rings in both forms, as protobuf's types have them. What comes by the two ways must be the same.
func encode(t *testing.T, take func()) *trace.TracesData {
	t.Helper()
	rt.TakeRecords(func(rt.Record) bool { return true }, nil)
	take()
	// One record, two encoders: both see it while it is in its ring.
	asProtobuf, asJSON := standalone.NewEncoder(false, os.Getenv), standalone.NewEncoder(true, os.Getenv)
	rt.TakeRecords(func(record rt.Record) bool { return asProtobuf.Add(record) && asJSON.Add(record) }, nil)
	body, spans := asProtobuf.Take()
	text, count := asJSON.Take()
	if spans != count {
		t.Fatalf("%d spans, %d as JSON", spans, count)
	}
	read := new(trace.TracesData)
	if failure := (proto.UnmarshalOptions{}).Unmarshal(body, read); failure != nil {
		t.Fatalf("%v\n%x", failure, body)
	}
	if unknown := read.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		t.Fatalf("unknown fields: %x", unknown)
	}
	request := ptraceotlp.NewExportRequest()
	if failure := request.UnmarshalJSON(text); failure != nil {
		t.Fatalf("%v\n%s", failure, text)
	}
	again, failure := request.MarshalProto()
	if failure != nil {
		t.Fatal(failure)
	}
	fromJSON := new(trace.TracesData)
	if failure := proto.Unmarshal(again, fromJSON); failure != nil {
		t.Fatal(failure)
	}
	sameClock(read, fromJSON)
	if !proto.Equal(normal(read), normal(fromJSON)) {
		t.Fatalf("as protobuf\n%v\nas JSON\n%v", read, fromJSON)
	}
	return read
}

// sameClock undoes what the wall clock has moved between the making of the two encoders, from which times that a program
// gave are not moved.
func sameClock(one, other *trace.TracesData) {
	var moved uint64
	undo := func(from uint64, time *uint64) {
		if moved == 0 {
			moved = *time - from
		}
		if *time != from {
			*time -= moved
		}
	}
	originals := spans(one)
	for index, span := range spans(other) {
		undo(originals[index].StartTimeUnixNano, &span.StartTimeUnixNano)
		undo(originals[index].EndTimeUnixNano, &span.EndTimeUnixNano)
		for number, event := range span.Events {
			undo(originals[index].Events[number].TimeUnixNano, &event.TimeUnixNano)
		}
	}
}

func spans(data *trace.TracesData) (all []*trace.Span) {
	for _, resource := range data.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			all = append(all, scope.Spans...)
		}
	}
	return all
}

// normal takes out how nothing is said: an empty status, for one, may be there or not.
func normal(data *trace.TracesData) *trace.TracesData {
	for _, span := range spans(data) {
		if span.Status == nil {
			span.Status = new(trace.Status)
		}
		if len(span.ParentSpanId) == 0 {
			span.ParentSpanId = nil
		}
	}
	return data
}

func only(t *testing.T, data *trace.TracesData) *trace.Span {
	t.Helper()
	if len(data.ResourceSpans) != 1 || len(data.ResourceSpans[0].ScopeSpans) != 1 || len(data.ResourceSpans[0].ScopeSpans[0].Spans) != 1 {
		t.Fatalf("not one span: %v", data)
	}
	return data.ResourceSpans[0].ScopeSpans[0].Spans[0]
}

func attributes(span *trace.Span) map[string]any {
	all := map[string]any{}
	for _, attribute := range span.Attributes {
		if _, twice := all[attribute.Key]; twice {
			all[attribute.Key+" again"] = true
		}
		switch value := attribute.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[attribute.Key] = value.StringValue
		case *common.AnyValue_IntValue:
			all[attribute.Key] = value.IntValue
		case *common.AnyValue_BoolValue:
			all[attribute.Key] = value.BoolValue
		case *common.AnyValue_DoubleValue:
			all[attribute.Key] = value.DoubleValue
		}
	}
	for key := range all {
		if strings.HasPrefix(key, "tandem.anatomy.") {
			delete(all, key)
		}
	}
	return all
}

// Everything that a span can have.
func TestEverything(t *testing.T) {
	var traceID [16]byte
	var spanID [8]byte
	data := encode(t, func() {
		parent := rt.StartRemote(operation, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")
		traceID = parent.TraceID()
		parent.Str(rt.KeyHTTPRequestMethod, "GET")
		parent.Str(rt.KeyHTTPRequestMethod, "PUT")
		parent.Str(rt.KeyHTTPRoute, "/ü/{id}")
		parent.Str(rt.KeyURLPath, "a\x00b\"\\\n\t\r\x1b\xff\u2028")
		parent.Int(number, -5)
		parent.Bool(flag, true)
		parent.Float(ratio, math.Inf(-1))
		parent.Event(rt.KeyException)
		parent.EventStr(rt.KeyExceptionType, "E")
		parent.EventStr(rt.KeyExceptionMessage, strings.Repeat("m", 300))
		parent.EventEnd()
		parent.Link(&[16]byte{1}, &[8]byte{2})
		parent.SetError("kind", "why")
		spanID = parent.SpanID()
		parent.End()
	})
	span := only(t, data)
	if string(span.TraceId) != string(traceID[:]) || string(span.SpanId) != string(spanID[:]) || fmt.Sprintf("%x", span.ParentSpanId) != "b7ad6b7169203331" {
		t.Errorf("ids %x %x %x", span.TraceId, span.SpanId, span.ParentSpanId)
	}
	if span.Name != "PUT /ü/{id}" || span.Kind != trace.Span_SPAN_KIND_CLIENT || span.TraceState != "vendor=1" || span.Flags != 0x301 {
		t.Errorf("%q %v %q %x", span.Name, span.Kind, span.TraceState, span.Flags)
	}
	if span.Status.Code != trace.Status_STATUS_CODE_ERROR || span.Status.Message != "why" || span.EndTimeUnixNano < span.StartTimeUnixNano {
		t.Errorf("%v %d %d", span.Status, span.StartTimeUnixNano, span.EndTimeUnixNano)
	}
	expected := map[string]any{
		"http.request.method": "PUT", "http.route": "/ü/{id}", "url.path": "a\x00b\"\\\n\t\r\x1b\uFFFD\u2028", "error.type": "kind",
		"test.number": int64(-5), "test.flag": true, "test.ratio": math.Inf(-1),
	}
	if found := attributes(span); !reflect.DeepEqual(found, expected) {
		t.Errorf("%q", found)
	}
	if len(span.Events) != 1 || span.Events[0].Name != "exception" || len(span.Events[0].Attributes) != 2 || len(span.Events[0].Attributes[1].Value.GetStringValue()) != 300 {
		t.Errorf("%v", span.Events)
	}
	if len(span.Links) != 1 || span.Links[0].TraceId[0] != 1 || span.Links[0].SpanId[0] != 2 {
		t.Errorf("%v", span.Links)
	}
	scope := data.ResourceSpans[0].ScopeSpans[0].Scope
	if scope.Name != "tandem/test" || scope.Version == "" {
		t.Errorf("%v", scope)
	}
}

// Spans of several operations, and many of them.
func TestManySpans(t *testing.T) {
	data := encode(t, func() {
		for count := range 300 {
			one, two := rt.Start(operation, nil), rt.Start(other, nil)
			two.SetName(strings.Repeat("n", count))
			two.End()
			one.Int(number, int64(count)<<(count%50))
			one.End()
		}
	})
	counts := map[string]int{}
	for _, scope := range data.ResourceSpans[0].ScopeSpans {
		counts[scope.Scope.Name] = len(scope.Spans)
	}
	if fmt.Sprint(counts) != "map[tandem/other:300 tandem/test:300]" {
		t.Error(counts)
	}
}

// Whatever a program puts into a span, both forms can be read, and say the same.
func FuzzEncoder(f *testing.F) {
	f.Add("name", "GET", "message", "state", int64(-1), 0.5, uint8(3))
	f.Add("\xff\xfe", "\"\\\x00", strings.Repeat("ä\u2028", 900), "\x7f", int64(math.MinInt64), math.MaxFloat64, uint8(255))
	f.Fuzz(func(t *testing.T, name, text, message, state string, integer int64, floating float64, bits uint8) {
		if math.IsNaN(floating) {
			t.Skip("NaN is not equal to itself")
		}
		data := encode(t, func() {
			span := rt.StartRemote(operation, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", state)
			if bits&1 != 0 {
				span.SetName(name)
			}
			for round := uint8(0); round < bits>>4; round++ {
				span.Event(rt.KeyException)
				span.EventStr(rt.KeyExceptionMessage, message)
				span.EventEnd()
			}
			span.Str(rt.KeyHTTPRequestMethod, text)
			if bits&2 != 0 {
				span.Str(rt.KeyHTTPRoute, name)
			}
			span.Int(number, integer)
			span.Float(ratio, floating)
			span.Bool(flag, bits&4 != 0)
			if bits&8 != 0 {
				span.SetError(text, message)
			}
			span.End()
		})
		span := only(t, data)
		for key, value := range attributes(span) {
			if !utf8.ValidString(fmt.Sprint(key, value)) {
				t.Errorf("%q is %q", key, value)
			}
		}
	})
}
