package messaging

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"tandem/rt"
)

var (
	testSend    = rt.NewOp("test.send", "tandem/test", rt.KindProducer, Name)
	testReceive = rt.NewOp("test.receive", "tandem/test", rt.KindClient, Name)
	testProcess = rt.NewOp("test.process", "tandem/test", rt.KindConsumer, Name)
)

// A message goes out with a span's context, and comes in again: without an allocation.
func TestNothingIsAllocated(t *testing.T) {
	span := rt.Start(testSend, nil)
	if !span.Recording() {
		t.Skip("nothing is recorded here")
	}
	header := []byte(span.Traceparent())
	trace := span.TraceID()
	span.End()
	if n := testing.AllocsPerRun(1000, func() {
		span := rt.Start(testSend, nil)
		Describe(span, "kafka", "send", Send, "orders")
		Server(span, "broker", 9092)
		var out rt.Outgoing
		out.Fill(span, nil)
		for heads := out.Heads(); heads != 0; heads &= heads - 1 {
			out.Header(heads)
		}
		End(span, nil, nil)

		receive := rt.Start(testReceive, nil)
		for i := 0; i < 10; i++ {
			var in rt.Incoming
			Catch(&in, "traceparent", header)
			Catch(&in, "other", header)
			in.Link(receive)
		}
		Batch(receive, 10)
		End(receive, nil, nil)

		var in rt.Incoming
		Catch(&in, "traceparent", header)
		process := StartProcess(testProcess, &in)
		if process.TraceID() != trace {
			t.Fatal("another trace")
		}
		End(process, nil, nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A message's bytes may be used again when its span still runs.
func TestBytesMayChange(t *testing.T) {
	parent := []byte("00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01")
	state := []byte("vendor=value")
	var in rt.Incoming
	Catch(&in, "traceparent", parent)
	Catch(&in, "tracestate", state)
	span := StartProcess(testProcess, &in)
	for i := range state {
		state[i] = 'x'
	}
	if span != nil && span.Tracestate() != "vendor=value" {
		t.Errorf("tracestate is %q", span.Tracestate())
	}
	span.End()
}

type odd struct{}

func (*odd) Error() string { panic("odd") }

func TestErrors(t *testing.T) {
	names := Errors{{io.EOF, "io.EOF"}}
	for err, want := range map[error]string{
		fmt.Errorf("read: %w", io.EOF):           "io.EOF",
		fmt.Errorf("send: %w", errors.New("no")): "*errors.errorString",
	} {
		if got := names.Kind(err); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
	End(rt.Start(testSend, nil), (*odd)(nil), names)
	if rt.Current() != nil {
		t.Error("the span has not ended")
	}
}

// What a message carries outlives the span, and what the program has added itself is left out.
func TestCarrier(t *testing.T) {
	span := rt.Start(testSend, nil)
	if span == nil {
		t.Skip("nothing is traced here")
	}
	want := span.Traceparent()
	var own, carrier Carrier
	own.Fill(span, nil)
	own.Without("Traceparent")
	own.Without("kind")
	carrier.Fill(span, nil)
	span.End()
	if own.Heads() != 0 {
		t.Error("the program's own header is not respected")
	}
	name, value := carrier.Header(carrier.Heads())
	if name != "traceparent" || string(value) != want {
		t.Errorf("%s: %s instead of %s", name, value, want)
	}
}
