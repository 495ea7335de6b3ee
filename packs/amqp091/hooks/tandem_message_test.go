package amqp091

import (
	"bytes"
	"errors"
	"io"
	"testing"

	tandem_rt "tandem/rt"
)

const testParent = "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"

func testChannel() *Channel {
	return &Channel{connection: &Connection{tandem: tandemServer{"broker", 5672}}, consumers: makeConsumers()}
}

// The spans cost no allocation, whatever they are about.
func TestNothingIsAllocated(t *testing.T) {
	ch := testChannel()
	if span := tandemPublish(ch, nil, "shop", "order"); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	var failed error
	ch.consumers.tandem.add("worker", "orders")
	m := &Delivery{Acknowledger: ch, Exchange: "shop", RoutingKey: "order.1", Headers: Table{"traceparent": testParent}}
	found := true
	for name, do := range map[string]func(){
		"publish": func() { tandemEnd(tandemPublish(ch, nil, "shop", "order.1"), &failed) },
		"deliver": func() { tandemDeliver(ch.consumers, "worker", m) },
		"get":     func() { tandemGot(tandemGet(ch, "orders"), "orders", m, &found, &failed) },
		"ack":     func() { tandemEnd(tandemSettleDelivery(m, "ack"), &failed) },
		"tag":     func() { tandemEnd(tandemSettle(ch, "ack", 7), &failed) },
	} {
		if n := testing.AllocsPerRun(1000, do); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// A frame with the context of a span takes no more allocations than one without.
func TestFrameAllocatesNoMore(t *testing.T) {
	for name, own := range map[string]properties{
		"empty": {}, "usual": {ContentType: "application/json", DeliveryMode: 2, MessageId: "0123456789"}, "headers": {Headers: Table{"kind": "lamp"}},
	} {
		frame := &headerFrame{ClassId: 60, Properties: own}
		write := func() {
			if err := frame.write(io.Discard); err != nil {
				t.Fatal(err)
			}
		}
		before := tandem_rt.Unset()
		plain := testing.AllocsPerRun(1000, write)
		span := tandemPublish(testChannel(), nil, "shop", "order")
		with := testing.AllocsPerRun(1000, write)
		span.End()
		tandem_rt.Restore(before)
		if with > plain {
			t.Errorf("%s: %v allocations instead of %v", name, with, plain)
		}
	}
}

// Headers are added to those of the program, which are left as they are.
func TestHeaders(t *testing.T) {
	span := tandemPublish(testChannel(), nil, "shop", "order")
	if span == nil {
		t.Skip("nothing is traced here")
	}
	defer span.End()
	for name, test := range map[string]struct {
		own  Table
		want string
	}{
		"none": {nil, span.Traceparent()}, "others": {Table{"kind": "lamp"}, span.Traceparent()}, "its own": {Table{"Traceparent": testParent}, ""},
	} {
		var frame bytes.Buffer
		if err := (&headerFrame{ClassId: 60, Properties: properties{Headers: test.own, AppId: "shop"}}).write(&frame); err != nil {
			t.Fatal(err)
		}
		size := uint32(frame.Len() - 8) // what lies between the frame's own head and its end
		frame.Next(7)
		r := &reader{r: &frame}
		read, err := r.parseHeaderFrame(1, size)
		if err != nil {
			t.Fatal(name, err)
		}
		got := read.(*headerFrame).Properties
		if got.AppId != "shop" {
			t.Errorf("%s: what follows the headers is %q", name, got.AppId)
		}
		text, _ := got.Headers["traceparent"].(string)
		if text != test.want {
			t.Errorf("%s: %q instead of %q", name, text, test.want)
		}
		for key, value := range test.own {
			if got.Headers[key] != value {
				t.Errorf("%s: %s is %v", name, key, got.Headers[key])
			}
		}
	}
}

// Whatever happened, nothing stays current.
func TestEnds(t *testing.T) {
	before := tandem_rt.Unset()
	defer tandem_rt.Restore(before)
	for _, err := range []error{nil, ErrClosed, errors.New("no"), (*Error)(nil)} {
		result := err
		tandemEnd(tandemPublish(testChannel(), nil, "", ""), &result)
		if tandem_rt.Current() != nil {
			t.Fatalf("after %v a span is still current", err)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	ch := testChannel()
	var failed error
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		tandemEnd(tandemPublish(ch, nil, "shop", "order.1"), &failed)
	}
}

func BenchmarkSettle(b *testing.B) {
	ch := testChannel()
	m := &Delivery{Acknowledger: ch, Exchange: "shop", RoutingKey: "order.1", Headers: Table{"traceparent": testParent}}
	var failed error
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		tandemEnd(tandemSettleDelivery(m, "ack"), &failed)
	}
}
