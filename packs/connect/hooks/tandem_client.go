package connect

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync/atomic"

	tandem_rt "tandem/rt"
)

// This file makes the client's spans: a unary call's is current while it runs; a stream's begins with the stream and ends when
// its last answer is received, or it is closed, on whatever goroutine that is. net/http's client is below.

var (
	tandemUnaryOp  = tandem_rt.NewOp("connect.client.unary", "tandem/connectrpc.com/connect", tandem_rt.KindClient, tandemName)
	tandemStreamOp = tandem_rt.NewOp("connect.client.stream", "tandem/connectrpc.com/connect", tandem_rt.KindClient, tandemName)
)

// tandemUnary begins the span of a unary call.
func tandemUnary(ctx context.Context, config *clientConfig) *tandem_rt.Span {
	if config == nil || !tandemUnaryOp.On() {
		return nil
	}
	span := tandem_rt.Start(tandemUnaryOp, tandem_rt.FromContext(ctx))
	tandemCalls(span, config)
	return span
}

func tandemCalls(span *tandem_rt.Span, config *clientConfig) {
	if span == nil {
		return
	}
	tandemDescribe(span, tandemProtocol(config), config.Procedure)
	span.Str(tandem_rt.KeyServerAddressDimension, config.URL.Hostname())
	port := int64(80)
	if number := config.URL.Port(); number != "" {
		port, _ = strconv.ParseInt(number, 10, 32)
	} else if config.URL.Scheme == "https" {
		port = 443
	}
	span.Int(tandem_rt.KeyServerPortDimension, port)
}

// tandemProtocol is which of the protocols a client speaks.
func tandemProtocol(config *clientConfig) string {
	switch config.Protocol.(type) {
	case *protocolConnect:
		return ProtocolConnect
	case *protocolGRPC:
		return ProtocolGRPC
	}
	return ""
}

// tandemReturned ends a call's span: for a client every code is an error.
func tandemReturned(span *tandem_rt.Span, config *clientConfig, result *error) {
	if span == nil {
		return
	}
	err := *result
	if code := tandemStatus(span, tandemProtocol(config), err); code != "" {
		span.SetError(code, tandemText(err))
	}
	span.End()
}

// tandemContext is the context of a stream, whose HTTP request is made by a goroutine of its own.
type tandemContext struct {
	context.Context
	span *tandem_rt.Span
}

func (c *tandemContext) Value(key any) any {
	if key == tandem_rt.ContextKey {
		return c.span
	}
	return c.Context.Value(key)
}

// String keeps fmt from looking into the span.
func (c *tandemContext) String() string { return "connect.tandemContext" }

// tandemOpen begins the span of a stream and puts it into the stream's context.
func tandemOpen(ctx *context.Context, config *clientConfig) *tandemStream {
	if !tandemStreamOp.On() {
		return nil
	}
	span := tandem_rt.StartDetached(tandemStreamOp, tandem_rt.FromContext(*ctx)).Capture()
	if span == nil {
		return nil
	}
	tandemCalls(span, config)
	*ctx = &tandemContext{*ctx, span}
	return &tandemStream{span: span}
}

// tandemStream is a stream's connection with its span. Several may try to end it; the first does.
type tandemStream struct {
	StreamingClientConn
	config *clientConfig
	span   *tandem_rt.Span
	ended  atomic.Bool
}

// made puts it around the connection that was made.
func (s *tandemStream) made(config *clientConfig, conn *StreamingClientConn) {
	if s != nil && *conn != nil {
		s.StreamingClientConn, s.config = *conn, config
		*conn = s
	}
}

func (s *tandemStream) end(err error) {
	if s.ended.CompareAndSwap(false, true) {
		tandemReturned(s.span, s.config, &err)
	}
}

// Send ends the span when it fails on this side; what the other side says is to be received.
func (s *tandemStream) Send(message any) error {
	previous := tandem_rt.Resume(s.span)
	err := s.StreamingClientConn.Send(message)
	tandem_rt.Restore(previous)
	if err != nil && !errors.Is(err, io.EOF) {
		s.end(err)
	}
	return err
}

// Receive ends the span with the stream.
func (s *tandemStream) Receive(message any) error {
	err := s.StreamingClientConn.Receive(message)
	if errors.Is(err, io.EOF) {
		s.end(nil)
	} else if err != nil {
		s.end(err)
	}
	return err
}

// CloseResponse ends the span of a stream that is not read to its end.
func (s *tandemStream) CloseResponse() error {
	err := s.StreamingClientConn.CloseResponse()
	s.end(nil)
	return err
}
