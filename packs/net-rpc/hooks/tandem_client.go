package rpc

import (
	"io"
	"net"
	"reflect"

	tandem_rt "tandem/rt"
)

// The client half: a call's span begins where it is made and ends where it is done, which is on the goroutine that reads
// replies. There is no context.Context: its parent is the span of the goroutine that makes the call.

var tandemClientOp = tandem_rt.NewOp("net/rpc.client", "tandem/net/rpc", tandem_rt.KindClient, "{rpc.method}")

// tandemPeer is where a Client's connection goes to, found out once.
type tandemPeer struct {
	address string
	port    int64
}

// set looks at the connection, where the codec is net/rpc's own.
func (p *tandemPeer) set(codec ClientCodec) {
	own, ok := codec.(*gobClientCodec)
	if !ok {
		return
	}
	if conn, ok := own.rwc.(net.Conn); ok {
		switch address := conn.RemoteAddr().(type) {
		case *net.TCPAddr:
			p.address, p.port = address.IP.String(), int64(address.Port)
		case *net.UnixAddr:
			p.address = address.Name
		}
	}
}

// start begins the span of a call.
func (p *tandemPeer) start(call *Call) {
	span := tandem_rt.StartDetached(tandemClientOp, nil)
	if span == nil {
		return
	}
	call.tandem = span
	span.Str(tandem_rt.KeyRPCSystemName, tandemSystem)
	span.Str(tandem_rt.KeyRPCMethod, call.ServiceMethod)
	if p.address != "" {
		span.Str(tandem_rt.KeyServerAddressDimension, p.address)
	}
	if p.port != 0 {
		span.Int(tandem_rt.KeyServerPortDimension, p.port)
	}
}

// tandemDone ends the span of a call.
func (call *Call) tandemDone() {
	span := call.tandem
	if span == nil {
		return
	}
	call.tandem = nil
	if err := call.Error; err != nil {
		span.SetError(tandemError(err), err.Error())
	}
	span.End()
}

// tandemError is an error as error.type.
func tandemError(err error) string {
	switch err {
	case ErrShutdown:
		return "rpc.ErrShutdown"
	case io.ErrUnexpectedEOF:
		return "io.ErrUnexpectedEOF"
	}
	return reflect.TypeOf(err).String()
}
