package rt

import (
	"strings"
	"testing"
)

// What a Fixed holds arrives as if it had been set on each span, before and after other attributes.
func TestFixed(t *testing.T) {
	var fixed Fixed
	if !fixed.Empty() {
		t.Error("a new one is not empty")
	}
	if !fixed.Str(KeyURLScheme, "http") || !fixed.Str(KeyServerAddress, "shop.example.com") || !fixed.Int(KeyServerPort, -8080) || fixed.Empty() {
		t.Fatal("no room")
	}
	for round := 0; round < 2; round++ {
		drain(t)
		span := Start(opInternal, nil)
		span.Str(KeyURLPath, "/odd")
		span.Fixed(&fixed)
		span.Int(KeyHTTPResponseStatusCode, 200)
		span.End()
		got := one(t)
		if scheme, _ := got.find(KeyURLScheme); scheme.text != "http" {
			t.Errorf("scheme %q", scheme.text)
		}
		if address, _ := got.find(KeyServerAddress); address.text != "shop.example.com" {
			t.Errorf("address %q", address.text)
		}
		if port, _ := got.find(KeyServerPort); int64(port.value) != -8080 {
			t.Errorf("port %d", int64(port.value))
		}
		if status, _ := got.find(KeyHTTPResponseStatusCode); status.value != 200 {
			t.Errorf("status %d", status.value)
		}
		fixed.Clear() // and once more, over what was there
		fixed.Str(KeyURLScheme, "http")
		fixed.Str(KeyServerAddress, "shop.example.com")
		fixed.Int(KeyServerPort, -8080)
	}
}

// It refuses what has no room and what would have to be a dimension, and is then as it was.
func TestFixedRefuses(t *testing.T) {
	var fixed Fixed
	if fixed.Str(KeyHTTPRoute, "/r") {
		t.Error("a dimension was taken")
	}
	if fixed.Str(KeyURLScheme, strings.Repeat("x", fixedSize)) || fixed.Str(KeyURLScheme, strings.Repeat("x", 1<<16)) || !fixed.Empty() {
		t.Error("more was taken than there is room for")
	}
	if !fixed.Str(KeyURLScheme, strings.Repeat("x", fixedSize-4)) || fixed.Int(KeyServerPort, 1) || fixed.Str(KeyURLScheme, "") {
		t.Error("what fits exactly leaves no room")
	}
	var none *Span
	none.Fixed(&fixed)
}

// Text of every length that is copied without a call, and some longer, arrives whole and padded.
func TestTextLengths(t *testing.T) {
	const text = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"
	for size := 0; size <= len(text); size++ {
		drain(t)
		span := Start(opInternal, nil)
		span.Str(KeyURLPath, text[:size])
		span.Str(KeyURLQuery, "after")
		span.End()
		got := one(t)
		path, found := got.find(KeyURLPath)
		if after, _ := got.find(KeyURLQuery); !found || path.text != text[:size] || after.text != "after" {
			t.Errorf("%d bytes: %q, then %q", size, path.text, after.text)
		}
	}
}
