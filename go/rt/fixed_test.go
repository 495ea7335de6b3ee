package rt

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"
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

// Dimensions arrive on spans that are only counted, too; there, each as a whole as far as there is room.
func TestFixedDimensions(t *testing.T) {
	for _, test := range []struct {
		address string
		counted []Key
	}{
		{"db.example", []Key{KeyDBSystemName, KeyServerAddressDimension, KeyServerPortDimension}},
		{strings.Repeat("a", 112), []Key{KeyDBSystemName, KeyServerPortDimension}},
	} {
		var fixed Fixed
		if !fixed.Str(KeyDBSystemName, "postgresql") || !fixed.Str(KeyServerAddressDimension, test.address) || !fixed.Int(KeyServerPortDimension, 5432) {
			t.Fatal("no room")
		}
		drain(t)
		span := Start(opInternal, nil)
		span.Fixed(&fixed)
		span.Replace(KeyDBSystemName, "mysql")
		span.End()
		got := one(t)
		if system, _ := got.find(KeyDBSystemName); system.text != "mysql" {
			t.Errorf("system %q", system.text)
		}
		if address, _ := got.find(KeyServerAddressDimension); address.text != test.address {
			t.Errorf("address %q", address.text)
		}

		span = StartRemote(opInternal, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "")
		span.Fixed(&fixed)
		var keys []Key
		for at := recordSize; at < span.used; at += itemSize(unsafe.Add(span.entry, at)) {
			keys = append(keys, Key(*(*uint32)(unsafe.Add(span.entry, at))))
		}
		span.End()
		if fmt.Sprint(keys) != fmt.Sprint(test.counted) {
			t.Errorf("counted with %v", keys)
		}
	}
}

// It refuses what has no room and what would have to be a dimension, and is then as it was.
func TestFixedRefuses(t *testing.T) {
	var fixed Fixed
	fixed.Str(KeyURLScheme, "http")
	if fixed.Str(KeyHTTPRoute, "/r") {
		t.Error("a dimension was taken among what is none")
	}
	fixed.Clear()
	fixed.Str(KeyHTTPRoute, "/r")
	if fixed.Str(KeyURLScheme, "http") || fixed.Str(0, "x") {
		t.Error("what is no dimension was taken among dimensions")
	}
	fixed.Clear()
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
