package nats

import (
	"strings"
	"testing"

	tandem_rt "tandem/rt"
)

func testConn() *Conn {
	nc := &Conn{}
	nc.info.Headers, nc.info.MaxPayload = true, 1<<20
	tandemConnecting(nc, "broker", "4222")
	return nc
}

// Publishing a message, and taking one up, costs no allocation.
func TestNothingIsAllocated(t *testing.T) {
	nc := testConn()
	var failed error
	if span := tandemPublish(nc, "orders.new", nil); !span.Recording() {
		t.Skip("nothing is recorded here")
	} else {
		span.End()
	}
	own := []byte("NATS/1.0\r\nKind: lamp\r\n\r\n")
	if n := testing.AllocsPerRun(1000, func() {
		for _, headers := range [][]byte{nil, own} {
			span := tandemPublish(nc, "orders.new", nil)
			if len(tandemHeaders(nc, "orders.new", headers, nil)) <= len(headers) {
				t.Fatal("no context goes out")
			}
			tandemEnd(span, &failed)
		}
	}); n != 0 {
		t.Errorf("a message that goes out: %v allocations", n)
	}
	message := NewMsg("orders.new")
	message.Header.Set("traceparent", "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01")
	subscription := &Subscription{Subject: "orders.*", conn: nc}
	handled := 0
	if n := testing.AllocsPerRun(1000, func() {
		tandemDeliver(subscription, message, func(*Msg) { handled++ })
	}); n != 0 {
		t.Errorf("a message that comes in: %v allocations", n)
	}
}

// Headers are added to those of the program, which are left as they are, and to none where they do not belong.
func TestHeaders(t *testing.T) {
	nc := testConn()
	span := tandemPublish(nc, "orders.new", nil)
	if span == nil {
		t.Skip("nothing is traced here")
	}
	defer span.End()
	added := "traceparent: " + span.Traceparent() + "\r\n\r\n"
	for own, want := range map[string]string{
		"":                                     "NATS/1.0\r\n" + added,
		"NATS/1.0\r\nKind: lamp\r\n\r\n":       "NATS/1.0\r\nKind: lamp\r\n" + added,
		"NATS/1.0\r\nTraceparent: own\r\n\r\n": "NATS/1.0\r\nTraceparent: own\r\n\r\n",
	} {
		if got := string(tandemHeaders(nc, "orders.new", []byte(own), nil)); got != want {
			t.Errorf("%q: %q instead of %q", own, got, want)
		}
	}
	for _, subject := range []string{"$JS.API.INFO", "$JS.ACK.a.b.1"} {
		if got := tandemHeaders(nc, subject, nil, nil); got != nil {
			t.Errorf("%s: %q", subject, got)
		}
	}
	if got := tandemHeaders(nc, "orders.new", nil, make([]byte, 1<<20)); got != nil {
		t.Errorf("a message that is full gets %q", got)
	}
	nc.info.Headers = false
	if got := tandemHeaders(nc, "orders.new", nil, nil); got != nil {
		t.Errorf("a server without headers gets %q", got)
	}
}

// The stream and the consumer are found in both forms of the subject that a message is acknowledged at.
func TestAcknowledgements(t *testing.T) {
	for subject, want := range map[string]string{
		"$JS.ACK.ORDERS.shipper.1.2.3.4.5":                 "ORDERS shipper",
		"$JS.ACK._.hash.ORDERS.shipper.1.2.3.4.5.token":    "ORDERS shipper",
		"$JS.ACK.domain.hash.ORDERS.shipper.1.2.3.4.5.tok": "ORDERS shipper",
		"_INBOX.abc": " ",
	} {
		stream, consumer := tandemAckOf(subject)
		if got := strings.Join([]string{stream, consumer}, " "); got != want {
			t.Errorf("%s: %q", subject, got)
		}
	}
	if tandem_rt.Current() != nil {
		t.Error("a span is still current")
	}
}
