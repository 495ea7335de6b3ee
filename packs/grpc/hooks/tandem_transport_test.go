package transport

import (
	"context"
	"net"
	"testing"

	"golang.org/x/net/http2/hpack"
	tandem_rt "tandem/rt"
)

var tandemTest = tandem_rt.NewOp("grpc.test", "tandem/test", tandem_rt.KindClient, "test")

// A call's trace goes out once, without allocating, and never beside a traceparent that the program sends itself.
func TestTandemHeaders(t *testing.T) {
	span := tandem_rt.StartRemote(tandemTest, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")
	if span == nil {
		t.Skip("nothing is recorded here")
	}
	defer span.End()
	var peer TandemPeer
	ctx := context.Background()
	call := &TandemCall{Span: span}
	fields := tandemHeaders(ctx, nil, call, &peer)
	if len(fields) != 2 || fields[0].Value != span.Traceparent() || fields[1].Value != "a=b" || fields[0].Sensitive {
		t.Errorf("first attempt: %v", fields)
	}
	fields = tandemHeaders(ctx, nil, call, &peer)
	if len(fields) != 2 || fields[0].Value != span.Traceparent() || !fields[0].Sensitive {
		t.Errorf("second attempt: %v", fields)
	}
	own := []hpack.HeaderField{{Name: "traceparent", Value: "theirs"}}
	if fields = tandemHeaders(ctx, own, call, &peer); len(fields) != 1 {
		t.Errorf("beside the program's own: %v", fields)
	}
	if fields = tandemHeaders(ctx, nil, nil, &peer); fields != nil {
		t.Errorf("without a call: %v", fields)
	}
	room := make([]hpack.HeaderField, 0, 2)
	if n := testing.AllocsPerRun(100, func() {
		call.made = false
		tandemHeaders(ctx, room, call, &peer)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTandemPeer(t *testing.T) {
	for _, test := range []struct {
		address net.Addr
		want    TandemPeer
	}{
		{&net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 80}, TandemPeer{Address: "10.1.2.3", Port: 80, known: true}},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 1}, TandemPeer{Address: "fe80::1%eth0", Port: 1, known: true}},
		{&net.UnixAddr{Name: "/run/a.sock"}, TandemPeer{Address: "/run/a.sock", known: true}},
		{nil, TandemPeer{known: true}},
	} {
		var got TandemPeer
		got.set(tandemConn{address: test.address})
		if got != test.want {
			t.Errorf("%v: %+v", test.address, got)
		}
	}
}

type tandemConn struct {
	net.Conn
	address net.Addr
}

func (c tandemConn) RemoteAddr() net.Addr { return c.address }
