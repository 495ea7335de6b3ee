package rt

import (
	"syscall"
	"testing"
)

// The goals on one core, in the same run as BenchmarkClock (one read of the clock, 26 ns or less): ten attributes 150 ns,
// six 120, not sampled with its count 100. Anatomy is on. cpu-ns/op is what to look at on a machine that others use too.

func BenchmarkClock(b *testing.B) {
	defer reportCPU(b, cpuTime())
	for i := 0; i < b.N; i++ {
		nanotime()
	}
}

func cpuTime() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func reportCPU(b *testing.B, before int64) {
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

const agentText = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0"

func tenAttributes(span *Span) {
	span.Str(KeyHTTPRequestMethod, "GET")
	span.Str(KeyURLPath, "/api/v1/items/4711")
	span.Str(KeyURLScheme, "http")
	span.Str(KeyServerAddress, "shop.example.com")
	span.Int(KeyServerPort, 8080)
	span.Str(KeyClientAddress, "10.1.2.3")
	span.Str(KeyUserAgentOriginal, agentText)
	span.Str(KeyNetworkProtocolVersion, "1.1")
	span.Str(KeyHTTPRoute, "/api/v1/items/{id}")
	span.Int(KeyHTTPResponseStatusCode, 200)
}

func sixAttributes(span *Span) {
	span.Str(KeyHTTPRequestMethod, "GET")
	span.Str(KeyURLPath, "/api/v1/items/4711")
	span.Str(KeyURLScheme, "http")
	span.Str(KeyServerAddress, "shop.example.com")
	span.Str(KeyHTTPRoute, "/api/v1/items/{id}")
	span.Int(KeyHTTPResponseStatusCode, 200)
}

// catchUp plays the agent.
func catchUp() {
	for index := range processors {
		own := &processors[index]
		own.ring.tail = own.ring.head
	}
}

func measureSpan(b *testing.B, span func()) {
	b.ReportAllocs()
	defer reportCPU(b, cpuTime())
	for i := 0; i < b.N; i++ {
		if i&1023 == 0 {
			catchUp()
		}
		span()
	}
	catchUp()
}

func BenchmarkSpanTenAttributes(b *testing.B) {
	measureSpan(b, func() {
		span := StartRemote(opServer, "", "")
		tenAttributes(span)
		span.End()
	})
}

func BenchmarkSpanSixAttributes(b *testing.B) {
	measureSpan(b, func() {
		span := Start(opInternal, nil)
		sixAttributes(span)
		span.End()
	})
}

func BenchmarkSpanRemoteParent(b *testing.B) {
	measureSpan(b, func() {
		span := StartRemote(opServer, "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01", "")
		tenAttributes(span)
		span.End()
	})
}

func BenchmarkSpanChild(b *testing.B) {
	root := Start(opServer, nil)
	defer root.End()
	measureSpan(b, func() {
		span := Start(opInternal, nil)
		span.End()
	})
}

// As hooks do it: what is no dimension of metrics is not even looked up.
func BenchmarkSpanNotSampled(b *testing.B) {
	sample(b, "always_off", "")
	measureSpan(b, func() {
		span := StartRemote(opServer, "", "")
		span.Str(KeyHTTPRequestMethod, "GET")
		if span.Recording() {
			tenAttributes(span)
		}
		span.Str(KeyHTTPRoute, "/api/v1/items/{id}")
		span.Int(KeyHTTPResponseStatusCode, 200)
		span.End()
	})
}

func BenchmarkOff(b *testing.B) {
	control.disabled[opInternal.id/64] |= opInternal.bit
	defer func() { control.disabled[opInternal.id/64] &^= opInternal.bit }()
	measureSpan(b, func() {
		if opInternal.On() {
			b.Fatal("on")
		}
	})
}
