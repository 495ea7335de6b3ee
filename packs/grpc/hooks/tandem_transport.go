package transport

import (
	"context"
	"net"
	"sync/atomic"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	tandem_rt "tandem/rt"
)

// This file carries the trace over the wire: out in createHeaderFields, in in operateHeaders. It is exported only as far
// as package grpc needs it.

// TandemPeer is the other end of a connection. Who it is is written once, before the connection serves a call.
type TandemPeer struct {
	Address string
	Port    int64
	known   bool
	named   uint32 // 1: the name of the header has gone to the peer
}

func (p *TandemPeer) set(conn net.Conn) {
	p.known = true
	switch address := conn.RemoteAddr().(type) {
	case nil:
	case *net.TCPAddr:
		p.Address, p.Port = address.IP.String(), int64(address.Port)
		if address.Zone != "" {
			p.Address += "%" + address.Zone
		}
	case *net.UnixAddr:
		p.Address = address.Name
	}
}

// Describe says on a span who the peer is.
func (p *TandemPeer) Describe(span *tandem_rt.Span) {
	if p == nil || p.Address == "" || !span.Recording() {
		return
	}
	span.Str(tandem_rt.KeyNetworkPeerAddress, p.Address)
	if p.Port != 0 {
		span.Int(tandem_rt.KeyNetworkPeerPort, p.Port)
	}
}

// TandemCall is what a CallHdr knows of the call's trace. It lives as long as the call.
type TandemCall struct {
	Span *tandem_rt.Span // whose trace goes out with the call; nil: none
	Peer *TandemPeer     // whom the last attempt went to

	// The headers' texts lie here since they are written out later, by another goroutine. They never change once made:
	// another attempt may find them in use.
	context tandem_rt.Outgoing
	made    bool
}

// tandemHeaders appends the trace's headers and its baggage, unless the program says itself which trace the call belongs to.
func tandemHeaders(ctx context.Context, fields []hpack.HeaderField, call *TandemCall, peer *TandemPeer) []hpack.HeaderField {
	if call == nil {
		return fields
	}
	call.Peer = peer
	if call.Span == nil || tandemHasParent(fields) {
		return fields
	}
	if !call.made {
		call.made = true
		call.context.Fill(call.Span, ctx)
	}
	own := len(fields)
	for heads := call.context.Heads(); heads != 0; heads &= heads - 1 {
		name, value := call.context.Header(heads)
		if tandemHas(fields[:own], name.Lower) {
			continue
		}
		// "Sensitive" keeps both sides from indexing what never comes again, which would push out what does. But the first one
		// of a connection is indexed, so that the others need not spell out their name.
		again := len(fields) != own || !atomic.CompareAndSwapUint32(&peer.named, 0, 1)
		fields = append(fields, hpack.HeaderField{Name: name.Lower, Value: value, Sensitive: again})
	}
	return fields
}

// tandemHasParent says whether headers name the span that a call belongs to.
func tandemHasParent(fields []hpack.HeaderField) bool {
	for _, parent := range tandem_rt.Parents() {
		if tandemHas(fields, parent.Lower) {
			return true
		}
	}
	return false
}

func tandemHas(fields []hpack.HeaderField, name string) bool {
	for i := range fields {
		if fields[i].Name == name {
			return true
		}
	}
	return false
}

// TandemStream is what a stream knows of its call on the server's side.
type TandemStream struct {
	metadata metadata.MD
	Peer     *TandemPeer
	answered uint32 // 1 + the status code that was sent; 0: none
	Known    bool   // the method is one of the server's
}

// tandemIncoming notes where a call comes from. It runs on the connection's only reader, before the stream is handed on.
func tandemIncoming(stream *TandemStream, mdata metadata.MD, peer *TandemPeer, conn net.Conn) {
	if !peer.known {
		peer.set(conn)
	}
	stream.metadata, stream.Peer = mdata, peer
}

// Incoming is the context that came with the call.
func (s *TandemStream) Incoming() (incoming tandem_rt.Incoming) {
	for _, header := range tandem_rt.Carriers() {
		incoming.Catch(header.Lower, s.metadata[header.Lower])
	}
	return incoming
}

// Header returns the value of a header that came with the call, or nothing unless it came exactly once.
func (s *TandemStream) Header(name string) string {
	if values := s.metadata[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// answer notes the first status that is sent: it ends the call.
func (s *TandemStream) answer(st *status.Status) {
	atomic.CompareAndSwapUint32(&s.answered, 0, 1+uint32(st.Code()))
}

// Answered returns the status code that was sent, if one was.
func (s *TandemStream) Answered() (code uint32, sent bool) {
	answered := atomic.LoadUint32(&s.answered)
	return answered - 1, answered != 0
}
