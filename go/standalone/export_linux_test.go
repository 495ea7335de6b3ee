package standalone

import (
	"net"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"tandem/rt"
)

// What the export of a span costs, in CPU time of the thread that does it: reading the ring, encoding, and posting batches over
// a socket to somebody who throws them away. The spans have ten attributes, as an HTTP server's.
func benchmarkExport(b *testing.B, variables ...string) {
	listener, failure := net.Listen("tcp", "127.0.0.1:0")
	if failure != nil {
		b.Fatal(failure)
	}
	defer listener.Close()
	go swallow(listener)
	variables = append(variables, general, "http://"+listener.Addr().String())
	e := newExporter(environment(variables...))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var spent, before time.Duration
	done := 0
	for done < b.N {
		for count := 0; count < e.spans.config.batch; count++ {
			takeSpan()
		}
		before = threadTime()
		e.take(true)
		for next, found := e.spans.next(); found; next, found = e.spans.next() {
			if reason := e.spans.deliver(next); reason != "" {
				b.Fatal(reason)
			}
			done += next.count
			e.spans.held -= next.count
		}
		spent += threadTime() - before
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(done), "cpu-ns/span")
}

// threadTime is the CPU time that this thread has used.
func threadTime() time.Duration {
	const thisThread = 1
	var used syscall.Rusage
	syscall.Getrusage(thisThread, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// swallow answers every request with 200.
func swallow(listener net.Listener) {
	const name = "Content-Length: "
	connection, failure := listener.Accept()
	if failure != nil {
		return
	}
	defer connection.Close()
	buffer := make([]byte, 1<<20)
	have := 0
	for {
		count, failure := connection.Read(buffer[have:])
		if failure != nil {
			return
		}
		have += count
		head := string(buffer[:min(have, 1000)])
		end, at := index(head, "\r\n\r\n"), index(head, name)
		if end < 0 || at < 0 {
			continue
		}
		size, _ := strconv.Atoi(head[at+len(name) : end])
		if have < end+4+size {
			continue
		}
		have = 0
		connection.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	}
}

func index(text, wanted string) int {
	for at := 0; at+len(wanted) <= len(text); at++ {
		if text[at:at+len(wanted)] == wanted {
			return at
		}
	}
	return -1
}

func BenchmarkExportProtobuf(b *testing.B) { benchmarkExport(b) }

func BenchmarkExportProtobufGzip(b *testing.B) {
	benchmarkExport(b, "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
}

func BenchmarkExportJSON(b *testing.B) { benchmarkExport(b, protocol, "http/json") }

// The part of it that is encoding.
func BenchmarkEncode(b *testing.B) {
	encoder := NewEncoder(false, noEnvironment)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var spent time.Duration
	done := 0
	for done < b.N {
		for range [512]int{} {
			takeSpan()
		}
		before := threadTime()
		rt.TakeRecords(encoder.Add, nil)
		_, count := encoder.Take()
		spent += threadTime() - before
		done += count
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(done), "cpu-ns/span")
}
