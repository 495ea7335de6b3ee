package http

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"

	tandem_http "tandem/http"
	tandem_rt "tandem/rt"
)

// What a client's span waits for when its request needs a new connection: looking up the name, connecting to each address
// that is tried, the handshake of TLS, each with its beginning and its end as events. A request that finds a connection pays
// nothing for it.
//
// A connection is made by a goroutine of its own, which has inherited the span; what it starts (one goroutine for each
// family of addresses) inherits it again. So the functions need not be told whose connection it is.

// tandemPhases returns the context that a connection is made with.
func tandemPhases(ctx context.Context) context.Context {
	span := tandem_rt.Current()
	if !span.Recording() || span.OpID() != "net/http.client" {
		return ctx
	}
	// Not one for all: WithClientTrace adds to it what the caller's own trace does.
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(info httptrace.DNSStartInfo) {
			tandemPhase("http.dns.start", "dns.question.name", info.Host, 0, nil)
		},
		DNSDone: func(info httptrace.DNSDoneInfo) { tandemPhase("http.dns.done", "", "", 0, info.Err) },
		ConnectStart: func(network, address string) {
			host, port := tandem_http.SplitHost(address)
			tandemPhase("http.connect.start", "network.peer.address", host, port, nil)
		},
		ConnectDone: func(network, address string, err error) {
			host, port := tandem_http.SplitHost(address)
			tandemPhase("http.connect.done", "network.peer.address", host, port, err)
		},
		TLSHandshakeStart: func() { tandemPhase("http.tls.start", "", "", 0, nil) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			tandemPhase("http.tls.done", "tls.protocol.version", tandemTLSVersion(state.Version), 0, err)
		},
	})
}

// tandemPhase adds an event in one piece: goroutines may do so at once.
func tandemPhase(name, key, value string, port int64, err error) {
	span := tandem_rt.Current()
	if span == nil {
		return
	}
	var room [256]byte
	items := tandem_rt.AppendEvent(room[:0], name, 0, false)
	if value != "" {
		items = tandemPhaseText(items, key, value)
	}
	if port != 0 {
		number, start := tandem_rt.AppendAttribute(items, "network.peer.port")
		items = tandem_rt.EndItem(tandem_rt.AppendInt(number, port), start)
	}
	if err != nil {
		items = tandemPhaseText(items, "error.message", err.Error())
	}
	span.Append(tandem_rt.EndGroup(items))
}

func tandemPhaseText(items []byte, key, value string) []byte {
	items, start := tandem_rt.AppendAttribute(items, key)
	return tandem_rt.EndItem(tandem_rt.AppendString(items, value), start)
}

func tandemTLSVersion(version uint16) string {
	switch version {
	case tls.VersionTLS10:
		return "1.0"
	case tls.VersionTLS11:
		return "1.1"
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return ""
}
