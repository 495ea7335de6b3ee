package redis

import (
	"context"
	"errors"
	"net"

	"github.com/redis/go-redis/v9/internal/pool"
	tandem_rt "tandem/rt"
)

// This file makes the spans of messages that a program waits for. Redis carries no headers with them, so nothing says who
// sent them. Those that come by a channel have none: the library fetches them ahead.

var tandemReceiving = tandem_rt.NewOp("go-redis.receive", tandemScope, tandem_rt.KindClient,
	"receive {messaging.destination.template}|receive {messaging.destination.name}|receive")

var tandemTemplate = tandem_rt.NewKey("messaging.destination.template")

// tandemWait begins the span of a call that waits for a message.
func tandemWait(ctx context.Context) *tandem_rt.Span {
	if !tandemReceiving.On() || tandem_rt.Woven().Is(tandemReceiving) {
		return nil
	}
	span := tandem_rt.Start(tandemReceiving, tandem_rt.FromContext(ctx))
	span.Str(tandem_rt.KeyMessagingSystem, "redis")
	return span
}

// tandemReceived ends it.
func tandemReceived(span *tandem_rt.Span, message interface{}, err error) {
	if span == nil {
		return
	}
	switch message := message.(type) {
	case *Message:
		if message == nil {
			break
		}
		span.Str(tandem_rt.KeyMessagingDestinationName, message.Channel)
		if message.Pattern != "" {
			span.Str(tandemTemplate, message.Pattern)
		}
	case *Subscription:
		span.SetName(message.Kind)
		span.Str(tandem_rt.KeyMessagingOperationName, message.Kind)
		span.Str(tandem_rt.KeyMessagingDestinationName, message.Channel)
		span.End()
		return
	}
	span.Str(tandem_rt.KeyMessagingOperationName, "receive")
	span.Str(tandem_rt.KeyMessagingOperationType, "receive")
	var timeout net.Error
	if err == nil || errors.Is(err, pool.ErrClosed) || errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, context.DeadlineExceeded) {
		span.End() // nothing came, or nothing will
		return
	}
	tandemFailed(span, err)
}

// tandemReceivedMessage and tandemReceivedAny are called when ReceiveMessage and ReceiveTimeout return.
func tandemReceivedMessage(span *tandem_rt.Span, message **Message, err *error) {
	tandemReceived(span, *message, *err)
}

func tandemReceivedAny(span *tandem_rt.Span, message *interface{}, err *error) {
	tandemReceived(span, *message, *err)
}
