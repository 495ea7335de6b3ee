package standalone

import (
	"bytes"
	"strings"
	"testing"

	"tandem/rt"
)

// The bytes themselves are compared with OpenTelemetry's own decoders in tests/standalone/encoder.

var (
	opPlain    = rt.NewOp("test.plain", "tandem/test", rt.KindServer, "{http.request.method} {http.route}|{http.request.method}")
	keyPayload = rt.NewKey("test.payload")
)

// span takes a span like that of an HTTP server.
func takeSpan() {
	span := rt.Start(opPlain, nil)
	span.Str(rt.KeyHTTPRequestMethod, "GET")
	span.Str(rt.KeyHTTPRoute, "/users/{id}")
	span.Int(rt.KeyHTTPResponseStatusCode, 200)
	span.Str(rt.KeyURLPath, "/users/42")
	span.Str(rt.KeyURLScheme, "http")
	span.Str(rt.KeyServerAddress, "localhost")
	span.Int(rt.KeyServerPort, 8080)
	span.Str(rt.KeyClientAddress, "10.1.2.3")
	span.Str(rt.KeyNetworkProtocolVersion, "1.1")
	span.Str(rt.KeyUserAgentOriginal, "Mozilla/5.0 (X11; Linux x86_64)")
	span.End()
}

func noEnvironment(string) string { return "" }

// Once everything has been seen, nothing is allocated for a span.
func TestNothingIsAllocatedForASpan(t *testing.T) {
	for _, json := range []bool{false, true} {
		encoder := NewEncoder(json, noEnvironment)
		round := func() {
			takeSpan()
			rt.TakeRecords(encoder.Add, nil)
		}
		for range [64]int{} {
			round()
		}
		encoder.Take()
		// The buffers have room for as many; AllocsPerRun counts those of other goroutines too, which there are none of.
		if count := testing.AllocsPerRun(60, round); count != 0 {
			t.Errorf("json %v: %v allocations a span", json, count)
		}
		encoder.Take()
	}
}

// Names come from the first alternative that has all its values; without one, the operation's id is the name.
func TestNames(t *testing.T) {
	encoder := NewEncoder(true, noEnvironment)
	for _, keys := range [][]rt.Key{{rt.KeyHTTPRequestMethod, rt.KeyHTTPRoute}, {rt.KeyHTTPRequestMethod}, nil} {
		span := rt.Start(opPlain, nil)
		for _, key := range keys {
			span.Str(key, "v")
		}
		span.End()
	}
	rt.TakeRecords(encoder.Add, nil)
	body, count := encoder.Take()
	for _, name := range []string{`"name":"v v"`, `"name":"v"`, `"name":"test.plain"`} {
		if !bytes.Contains(body, []byte(name)) {
			t.Errorf("there is no %s in %s", name, body)
		}
	}
	if count != 3 {
		t.Errorf("%d spans", count)
	}
}

// What is over a limit is left out and counted.
func TestLimits(t *testing.T) {
	encoder := NewEncoder(true, noEnvironment)
	encoder.limits = limits{attributes: 2, eventAttributes: 1, linkAttributes: 1, events: 1, links: 1, valueLength: 3}
	span := rt.Start(opPlain, nil)
	span.Str(rt.KeyURLPath, "ääää")
	span.Str(rt.KeyURLPath, "öööö") // in its place
	span.Int(rt.KeyServerPort, 1)
	span.Int(rt.KeyClientPort, 1)
	for range [2]int{} {
		span.Event(rt.KeyException)
		span.EventStr(rt.KeyExceptionType, "a")
		span.EventStr(rt.KeyExceptionMessage, "b")
		span.EventEnd()
		span.Link(&[16]byte{1}, &[8]byte{1})
	}
	span.End()
	rt.TakeRecords(encoder.Add, nil)
	body, _ := encoder.Take()
	text := string(body)
	for _, part := range []string{`"stringValue":"ööö"`, `"droppedAttributesCount":1,"events"`, `"droppedAttributesCount":1}],"droppedEventsCount":1`, `"droppedLinksCount":1`} {
		if strings.Count(text, part) != 1 {
			t.Errorf("there is no %s in %s", part, text)
		}
	}
}
