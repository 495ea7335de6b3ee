package nats

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"

	tandem_messaging "tandem/messaging"
	tandem_rt "tandem/rt"
)

// This file makes the spans of messages that go out, come in and are acknowledged, of plain NATS and of JetStream, which is
// made of plain messages. What JetStream says to its server for itself ($JS.API and the like) has no span.

const (
	tandemScope  = "tandem/github.com/nats-io/nats.go"
	tandemSystem = "nats"
)

var (
	tandemPublishing = tandem_rt.NewOp("nats.publish", tandemScope, tandem_rt.KindProducer, tandem_messaging.Name)
	tandemRequesting = tandem_rt.NewOp("nats.request", tandemScope, tandem_rt.KindClient, tandem_messaging.Name)
	tandemReceiving  = tandem_rt.NewOp("nats.receive", tandemScope, tandem_rt.KindClient, tandem_messaging.Name)
	tandemSettling   = tandem_rt.NewOp("nats.settle", tandemScope, tandem_rt.KindClient, tandem_messaging.Name)
	tandemProcessing = tandem_rt.NewOp("nats.process", tandemScope, tandem_rt.KindConsumer,
		"process {messaging.destination.template}|process {messaging.destination.name}|process")
)

// tandemErrors are the errors of which the type says nothing.
var tandemErrors = tandem_messaging.Errors{
	{context.Canceled, "context.Canceled"},
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
	{ErrTimeout, "nats.ErrTimeout"},
	{ErrNoResponders, "nats.ErrNoResponders"},
	{ErrConnectionClosed, "nats.ErrConnectionClosed"},
	{ErrConnectionDraining, "nats.ErrConnectionDraining"},
	{ErrConnectionReconnecting, "nats.ErrConnectionReconnecting"},
	{ErrReconnectBufExceeded, "nats.ErrReconnectBufExceeded"},
	{ErrMaxPayload, "nats.ErrMaxPayload"},
	{ErrMaxMessages, "nats.ErrMaxMessages"},
	{ErrSlowConsumer, "nats.ErrSlowConsumer"},
	{ErrBadSubject, "nats.ErrBadSubject"},
	{ErrBadSubscription, "nats.ErrBadSubscription"},
	{ErrInvalidMsg, "nats.ErrInvalidMsg"},
	{ErrHeadersNotSupported, "nats.ErrHeadersNotSupported"},
	{ErrNoStreamResponse, "nats.ErrNoStreamResponse"},
}

// tandemConn is what a connection knows: its server, and room for the headers of a message, which its lock guards.
type tandemConn struct {
	server  atomic.Value // tandemServer
	headers []byte
}

type tandemServer struct {
	address string
	port    int
}

// tandemConnecting is called when a connection is opened to a server.
func tandemConnecting(nc *Conn, address, port string) {
	number, _ := strconv.Atoi(port)
	nc.tandem.server.Store(tandemServer{address, number})
}

func (c *tandemConn) describe(span *tandem_rt.Span) {
	if server, known := c.server.Load().(tandemServer); known {
		tandem_messaging.Server(span, server.address, server.port)
	}
}

// tandemInside says whether this code is part of an operation that has a span.
func tandemInside() bool {
	span := tandem_rt.Woven()
	return span.Is(tandemPublishing) || span.Is(tandemRequesting) || span.Is(tandemReceiving) || span.Is(tandemSettling)
}

// tandemInbox says whether a subject is one that somebody made up to get answers at.
func tandemInbox(nc *Conn, subject string) bool {
	if strings.HasPrefix(subject, "_INBOX.") {
		return true
	}
	own := nc.Opts.InboxPrefix
	return own != "" && len(subject) > len(own) && subject[len(own)] == '.' && subject[:len(own)] == own
}

// tandemInternal says whether a subject is JetStream's or the server's own. Key-value and object stores are not: their
// name is returned without the key.
func tandemInternal(subject string) (shown string, internal bool) {
	if len(subject) == 0 || subject[0] != '$' {
		return subject, false
	}
	if strings.HasPrefix(subject, "$KV.") || strings.HasPrefix(subject, "$O.") {
		first := strings.IndexByte(subject, '.') + 1
		if end := strings.IndexByte(subject[first:], '.'); end >= 0 {
			return subject[:first+end], false
		}
		return subject, false
	}
	return "", true
}

const tandemAck = "$JS.ACK."

// tandemAckOf takes the stream and the consumer out of the subject that a message is acknowledged at.
func tandemAckOf(subject string) (stream, consumer string) {
	if !strings.HasPrefix(subject, tandemAck) {
		return "", ""
	}
	rest := subject[len(tandemAck):]
	if strings.Count(rest, ".") > 6 { // behind a domain and an account
		for i := 0; i < 2; i++ {
			_, rest, _ = strings.Cut(rest, ".")
		}
	}
	stream, rest, _ = strings.Cut(rest, ".")
	consumer, _, _ = strings.Cut(rest, ".")
	return stream, consumer
}

// tandemPublish begins the span of a message that goes out.
func tandemPublish(nc *Conn, subject string, data []byte) *tandem_rt.Span {
	if nc == nil || tandemInside() {
		return nil
	}
	if strings.HasPrefix(subject, tandemAck) {
		return tandemSettle(nc, nil, subject, data)
	}
	shown, internal := tandemInternal(subject)
	if internal || !tandemPublishing.On() {
		return nil
	}
	span := tandem_rt.Start(tandemPublishing, nil)
	tandemDescribe(span, nc, "publish", shown)
	return span
}

// tandemDescribe describes a span of a message that goes out. Who answers does so at an inbox.
func tandemDescribe(span *tandem_rt.Span, nc *Conn, operation, subject string) {
	if tandemInbox(nc, subject) {
		if operation == "publish" {
			operation = "respond"
		}
		tandem_messaging.Describe(span, tandemSystem, operation, tandem_messaging.Send, "")
		span.Bool(tandem_messaging.KeyTemporary, true)
	} else {
		tandem_messaging.Describe(span, tandemSystem, operation, tandem_messaging.Send, subject)
	}
	nc.tandem.describe(span)
}

// TandemPublish begins the span of a message that goes to a stream, which answers.
func TandemPublish(ctx context.Context, nc *Conn, m *Msg) *tandem_rt.Span {
	if nc == nil || m == nil || !tandemPublishing.On() || tandemInside() {
		return nil
	}
	shown, internal := tandemInternal(m.Subject)
	if internal {
		return nil
	}
	span := tandem_rt.Start(tandemPublishing, tandem_rt.FromContext(ctx))
	tandemDescribe(span, nc, "publish", shown)
	return span
}

// tandemRequest begins the span of a request, which ends with the answer.
func tandemRequest(nc *Conn, ctx context.Context, subject string, data []byte) *tandem_rt.Span {
	if nc == nil || tandemInside() {
		return nil
	}
	if strings.HasPrefix(subject, tandemAck) {
		return tandemSettle(nc, ctx, subject, data)
	}
	shown, internal := tandemInternal(subject)
	if internal || !tandemRequesting.On() {
		return nil
	}
	span := tandem_rt.Start(tandemRequesting, tandem_rt.FromContext(ctx))
	tandemDescribe(span, nc, "request", shown)
	return span
}

// tandemSettle begins the span of an acknowledgement.
func tandemSettle(nc *Conn, ctx context.Context, subject string, data []byte) *tandem_rt.Span {
	if !tandemSettling.On() {
		return nil
	}
	operation := "ack"
	switch {
	case len(data) == 0 || data[0] == '+' && len(data) < 2:
	case data[0] == '-':
		operation = "nak"
	case data[1] == 'W':
		return nil // still at it
	case data[1] == 'T':
		operation = "term"
	}
	span := tandem_rt.Start(tandemSettling, tandem_rt.FromContext(ctx))
	stream, consumer := tandemAckOf(subject)
	tandem_messaging.Describe(span, tandemSystem, operation, tandem_messaging.Settle, stream)
	if consumer != "" {
		span.Str(tandem_rt.KeyMessagingConsumerGroupName, consumer)
	}
	nc.tandem.describe(span)
	return span
}

// tandemEnd ends the span of an operation that returns *result.
func tandemEnd(span *tandem_rt.Span, result *error) {
	tandem_messaging.End(span, *result, tandemErrors)
}

// TandemEnd is that for JetStream's own package.
func TandemEnd(span *tandem_rt.Span, err error) { tandem_messaging.End(span, err, tandemErrors) }

// tandemHeaders adds the context of the current span to a message's headers. The connection is locked; what is returned
// is valid until it is unlocked. Headers that the program wrote itself stay as they are.
func tandemHeaders(nc *Conn, subject string, headers, data []byte) []byte {
	if _, internal := tandemInternal(subject); internal || !nc.info.Headers {
		return headers
	}
	span := tandem_rt.Current()
	if span == nil {
		return headers
	}
	var out tandem_rt.Outgoing
	out.Fill(span, nil)
	const version, end = "NATS/1.0\r\n", "\r\n"
	all := nc.tandem.headers[:0]
	if len(headers) >= len(version)+len(end) {
		all = append(all, headers[:len(headers)-len(end)]...)
	} else {
		all = append(all, version...)
	}
	own := len(all)
	for heads := out.Heads(); heads != 0; heads &= heads - 1 {
		name, value := out.Header(heads)
		if tandemHas(all[:own], name.Lower) {
			continue
		}
		all = append(append(append(append(all, name.Lower...), ": "...), value...), end...)
	}
	if len(all) == own {
		return headers
	}
	all = append(all, end...)
	nc.tandem.headers = all
	if int64(len(all)+len(data)) > nc.info.MaxPayload && !nc.initc {
		return headers
	}
	return all
}

// tandemHas says whether there is a header with this name, in whatever case.
func tandemHas(headers []byte, name string) bool {
	for at := 0; at+len(name) < len(headers); at++ {
		if headers[at] == '\n' && at+1+len(name) < len(headers) && headers[at+1+len(name)] == ':' &&
			strings.EqualFold(string(headers[at+1:at+1+len(name)]), name) {
			return true
		}
	}
	return false
}

// tandemIncoming reads a message's headers.
func tandemIncoming(in *tandem_rt.Incoming, m *Msg) {
	for name, values := range m.Header {
		if tandem_rt.MayCarry(name) {
			in.Catch(name, values)
		}
	}
}
