package redis

import (
	"context"
	"errors"
	"net"

	tandem_rt "tandem/rt"
)

// This file makes the spans of messages that a program waits for. Redis carries no headers with them, so nothing says who
// sent them.

var tandemReceiving = tandem_rt.NewOp("redigo.receive", tandemScope, tandem_rt.KindClient,
	"receive {messaging.destination.template}|receive {messaging.destination.name}|receive")

var tandemTemplate = tandem_rt.NewKey("messaging.destination.template")

// tandemWait begins the span of a call that waits for a message.
func tandemWait(ctx context.Context) *tandem_rt.Span {
	span := tandem_rt.Start(tandemReceiving, tandem_rt.FromContext(ctx))
	span.Str(tandem_rt.KeyMessagingSystem, "redis")
	return span
}

// tandemReceived ends it. That nothing came in time is no error.
func tandemReceived(span *tandem_rt.Span, result *interface{}) {
	if span == nil {
		return
	}
	switch got := (*result).(type) {
	case Message:
		span.Str(tandem_rt.KeyMessagingDestinationName, got.Channel)
		if got.Pattern != "" {
			span.Str(tandemTemplate, got.Pattern)
		}
	case Subscription:
		span.SetName(got.Kind)
		span.Str(tandem_rt.KeyMessagingOperationName, got.Kind)
		span.Str(tandem_rt.KeyMessagingDestinationName, got.Channel)
		span.End()
		return
	case error:
		span.Str(tandem_rt.KeyMessagingOperationName, "receive")
		span.Str(tandem_rt.KeyMessagingOperationType, "receive")
		var timeout net.Error
		if errors.As(got, &timeout) && timeout.Timeout() && !errors.Is(got, context.DeadlineExceeded) {
			span.End()
			return
		}
		tandemFailed(span, got)
		return
	}
	span.Str(tandem_rt.KeyMessagingOperationName, "receive")
	span.Str(tandem_rt.KeyMessagingOperationType, "receive")
	span.End()
}
