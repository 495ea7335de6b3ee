package rt

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"
)

var (
	opServer   = NewOp("test.server", "tandem/test", KindServer, "{http.request.method} {http.route}")
	opInternal = NewOp("test.internal", "tandem/test", KindInternal, "inside")
	keyOwn     = NewKey("test.own")
)

// A span with every kind of item arrives in the ring as it was described, and its entry is free again.
func TestSpanArrives(t *testing.T) {
	drain(t)
	const parent = "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"
	span := StartRemote(opServer, parent, "vendor=1")
	span.Str(KeyHTTPRequestMethod, "GET")
	span.Str(KeyURLPath, "/a")
	span.Int(KeyHTTPResponseStatusCode, 503)
	span.Bool(keyOwn, true)
	span.Float(KeyServerPort, 0.5)
	span.Event(KeyException)
	span.EventStr(KeyExceptionType, "odd")
	span.EventEnd()
	span.SetName("a name")
	if live := unfinished(t); len(live) != 1 || live[0].end != 0 || len(live[0].items) != 10 {
		t.Errorf("in flight: %+v", live)
	}
	if got := string(span.AppendTraceparent(nil)[:36]); got != parent[:36] {
		t.Errorf("traceparent %s", got)
	}
	span.EndError(errors.New("broken"))
	if live := unfinished(t); len(live) != 0 {
		t.Errorf("still in flight: %+v", live)
	}
	if Current() != nil {
		t.Error("the slot still holds the span")
	}
	got := one(t)
	if got.kind != recordSpan || got.status != statusError || got.traceFlags != 1 || got.flags&recordFlagRemoteParent == 0 {
		t.Errorf("record %+v", got.recordLayout)
	}
	if got.descriptor != opServer.id || got.start == 0 || got.end < got.start || got.account == 0 {
		t.Errorf("record %+v", got.recordLayout)
	}
	if got.traceID[0] != 1 || got.traceID[15] != 16 || got.parentSpanID != [8]byte{17, 18, 19, 20, 21, 22, 23, 24} {
		t.Errorf("ids %+v", got.recordLayout)
	}
	for key, text := range map[Key]string{KeyHTTPRequestMethod: "GET", KeyURLPath: "/a", KeyErrorType: "*errors.errorString"} {
		if item, _ := got.find(key); item.text != text {
			t.Errorf("key %d is %q instead of %q", key, item.text, text)
		}
	}
	if status, _ := got.find(KeyHTTPResponseStatusCode); status.value != 503 || status.kind != itemInt {
		t.Errorf("status %+v", status)
	}
	if port, _ := got.find(KeyServerPort); floatOf(port) != 0.5 {
		t.Errorf("float %+v", port)
	}
	if own, _ := got.find(keyOwn); own.kind != itemBool || own.value != 1 {
		t.Errorf("bool %+v", own)
	}
	if state := got.ofKind(itemTracestate); len(state) != 1 || state[0].text != "vendor=1" {
		t.Errorf("tracestate %+v", state)
	}
	if name := got.ofKind(itemName); len(name) != 1 || name[0].text != "a name" {
		t.Errorf("name %+v", name)
	}
	if message := got.ofKind(itemStatusMessage); len(message) != 1 || message[0].text != "broken" {
		t.Errorf("message %+v", message)
	}
	if len(got.ofKind(itemEvent)) != 1 || len(got.ofKind(itemEventEnd)) != 1 {
		t.Errorf("event %+v", got.items)
	}
}

// Text of any length fits or is cut between characters; numbers, metric keys and the anatomy still find room.
func TestLongAttributes(t *testing.T) {
	drain(t)
	for length := 0; length < 2*entrySize; length += 7 {
		span := Start(opServer, nil)
		text := strings.Repeat("ä", length)
		span.Str(KeyURLPath, text)
		span.Str(KeyURLQuery, text)
		span.Int(KeyServerPort, 80)
		span.Str(KeyHTTPRoute, "/route")
		span.SetError("type", "message")
		time.Sleep(time.Microsecond)
		span.End()
		got := one(t)
		path, _ := got.find(KeyURLPath)
		if !strings.HasPrefix(text, path.text) || len(path.text)%2 != 0 {
			t.Fatalf("%d bytes: path of %d bytes", len(text), len(path.text))
		}
		if cut := path.text != text; cut && got.flags&recordFlagCut == 0 {
			t.Fatalf("%d bytes: cut, but not said so", len(text))
		}
		route, _ := got.find(KeyHTTPRoute)
		kind, _ := got.find(KeyErrorType)
		if _, found := got.find(KeyServerPort); !found || route.text != "/route" || kind.text != "type" {
			t.Fatalf("%d bytes: what came last is missing: %+v", len(text), got.items)
		}
		if len(got.ofKind(itemPart)) == 0 {
			t.Fatalf("%d bytes: no anatomy", len(text))
		}
	}
}

// The layout of a context record is the one that newproc1 and OTEP 4947 readers count on.
func TestContextRecordLayout(t *testing.T) {
	var span Span
	if unsafe.Offsetof(span.captured) != 0 || unsafe.Offsetof(span.trace) != 8 || unsafe.Offsetof(span.id) != 24 ||
		unsafe.Offsetof(span.valid) != 32 || unsafe.Offsetof(span.attributesSize) != 34 {
		t.Error("the context record has moved")
	}
}
