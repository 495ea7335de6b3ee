package nats

import (
	"context"
	"strings"

	tandem_messaging "tandem/messaging"
	tandem_rt "tandem/rt"
)

// This file makes the spans of messages that come in: of functions that are called for them, and of calls that wait for
// them. What comes by a channel that the program gave has none, since the library fetches it ahead.

// tandemDeliver calls the function of a subscription.
func tandemDeliver(s *Subscription, m *Msg, deliver MsgHandler) {
	span := tandemProcess(s, m)
	deliver(m)
	span.End()
}

// tandemProcess begins its span.
func tandemProcess(s *Subscription, m *Msg) *tandem_rt.Span {
	if !tandemProcessing.On() || tandemOwn(s, m) {
		return nil
	}
	var in tandem_rt.Incoming
	tandemIncoming(&in, m)
	span := tandem_messaging.StartProcess(tandemProcessing, &in)
	shown, _ := tandemInternal(m.Subject)
	if tandemInbox(s.conn, m.Subject) {
		tandem_messaging.Describe(span, tandemSystem, "process", tandem_messaging.Process, "")
		span.Bool(tandem_messaging.KeyTemporary, true)
	} else {
		tandem_messaging.Describe(span, tandemSystem, "process", tandem_messaging.Process, shown)
		if s.Subject != m.Subject && !tandemInbox(s.conn, s.Subject) {
			span.Str(tandem_messaging.KeyTemplate, s.Subject)
		}
	}
	tandemConsumer(span, s, m)
	s.conn.tandem.describe(span)
	return span
}

// tandemConsumer says who shares the messages.
func tandemConsumer(span *tandem_rt.Span, s *Subscription, m *Msg) {
	if _, consumer := tandemAckOf(m.Reply); consumer != "" {
		span.Str(tandem_rt.KeyMessagingConsumerGroupName, consumer)
	} else if s != nil && s.Queue != "" {
		span.Str(tandem_rt.KeyMessagingConsumerGroupName, s.Queue)
	}
}

// tandemOwn says whether a message is for the library itself: an answer that somebody waits for, or a word of the server's.
func tandemOwn(s *Subscription, m *Msg) bool {
	if len(m.Header["Status"]) > 0 {
		return true
	}
	if tandemInbox(s.conn, s.Subject) && strings.HasSuffix(s.Subject, "*") {
		return true
	}
	_, internal := tandemInternal(m.Subject)
	return internal
}

// tandemNext begins the span of a call that waits for one message.
func tandemNext(ctx context.Context, nc *Conn, operation string) *tandem_rt.Span {
	if !tandemReceiving.On() || tandemInside() {
		return nil
	}
	span := tandem_rt.Start(tandemReceiving, tandem_rt.FromContext(ctx))
	span.Str(tandem_rt.KeyMessagingSystem, tandemSystem)
	span.Str(tandem_rt.KeyMessagingOperationName, operation)
	span.Str(tandem_rt.KeyMessagingOperationType, string(tandem_messaging.Receive))
	if nc != nil {
		nc.tandem.describe(span)
	}
	return span
}

// tandemConnOf is a subscription's connection, if it has one.
func tandemConnOf(s *Subscription) *Conn {
	if s == nil {
		return nil
	}
	return s.conn
}

// tandemGot ends it. That nothing came in time is no error.
func tandemGot(span *tandem_rt.Span, s *Subscription, m **Msg, err *error) {
	if span == nil {
		return
	}
	if *m != nil {
		tandemLink(span, *m)
		tandemFrom(span, tandemSubject(*m))
		tandemConsumer(span, s, *m)
	}
	tandemEndWait(span, *err)
}

func tandemEndWait(span *tandem_rt.Span, err error) {
	if err == ErrTimeout {
		err = nil
	}
	tandem_messaging.End(span, err, tandemErrors)
}

// tandemLink has a span that waits point to the one that sent a message.
func tandemLink(span *tandem_rt.Span, m *Msg) {
	var in tandem_rt.Incoming
	tandemIncoming(&in, m)
	in.Link(span)
}

// tandemSubject is what is shown of a message's subject.
func tandemSubject(m *Msg) string {
	if m.Sub != nil && tandemInbox(m.Sub.conn, m.Subject) {
		return ""
	}
	shown, _ := tandemInternal(m.Subject)
	return shown
}

func tandemFrom(span *tandem_rt.Span, destination string) {
	if destination != "" {
		span.Str(tandem_rt.KeyMessagingDestinationName, destination)
	}
}

// tandemFetched ends the span of a call that waits for several.
func tandemFetched(span *tandem_rt.Span, messages *[]*Msg, err *error) {
	if span == nil {
		return
	}
	var batch TandemBatch
	batch.span = span
	for _, m := range *messages {
		batch.Add(m)
	}
	batch.End(*err)
}

// TandemNext begins the span of a call of JetStream's own package that waits for one message.
func TandemNext(s *Subscription) *tandem_rt.Span { return tandemNext(nil, tandemConnOf(s), "next") }

// TandemGot ends it.
func TandemGot(span *tandem_rt.Span, m *Msg, err error) {
	if span == nil {
		return
	}
	if m != nil {
		tandemLink(span, m)
		tandemFrom(span, tandemSubject(m))
		tandemConsumer(span, nil, m)
	}
	tandemEndWait(span, err)
}

// TandemBatch is the span of messages that were asked for and come one by one, on whatever goroutine.
type TandemBatch struct {
	span    *tandem_rt.Span
	count   int
	subject string // of all so far; where they differ, their stream
	mixed   bool
}

// Begin begins it.
func (b *TandemBatch) Begin(s *Subscription) {
	if s == nil || !tandemReceiving.On() || tandemInside() {
		return
	}
	b.span = tandem_rt.StartDetached(tandemReceiving, nil)
	b.span.Str(tandem_rt.KeyMessagingSystem, tandemSystem)
	b.span.Str(tandem_rt.KeyMessagingOperationName, "fetch")
	b.span.Str(tandem_rt.KeyMessagingOperationType, string(tandem_messaging.Receive))
	s.conn.tandem.describe(b.span)
}

// Add adds a message that came.
func (b *TandemBatch) Add(m *Msg) {
	if b.span == nil {
		return
	}
	subject := tandemSubject(m)
	if b.count++; b.count == 1 {
		tandemConsumer(b.span, nil, m)
		b.subject = subject
	} else if b.subject != subject && !b.mixed {
		b.subject, _ = tandemAckOf(m.Reply)
		b.mixed = true
	}
	tandemLink(b.span, m)
}

// End ends it: no more will come.
func (b *TandemBatch) End(err error) {
	if b.span == nil {
		return
	}
	tandemFrom(b.span, b.subject)
	tandem_messaging.Batch(b.span, b.count)
	tandemEndWait(b.span, err)
	b.span = nil
}
