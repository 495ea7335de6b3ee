package jetstream

import (
	"context"

	"github.com/nats-io/nats.go"
	tandem_rt "tandem/rt"
)

// This file hands over to the package nats, which makes the spans, what JetStream's own package knows of its messages.

func tandemPublish(ctx context.Context, js *jetStream, m *nats.Msg) *tandem_rt.Span {
	return nats.TandemPublish(ctx, js.conn, m)
}

func tandemPublished(span *tandem_rt.Span, result *error) { nats.TandemEnd(span, *result) }

// tandemGot is called when Next returns.
func tandemGot(span *tandem_rt.Span, message *Msg, result *error) {
	var m *nats.Msg
	if known, is := (*message).(*jetStreamMsg); is && known != nil {
		m = known.msg
	}
	nats.TandemGot(span, m, *result)
}

// tandemAsked is called when messages have been asked for, or could not be.
func tandemAsked(result *fetchResult, failed *error) {
	if *failed != nil {
		result.tandem.End(*failed)
	}
}

// tandemDone is called when no more of them will come.
func tandemDone(result *fetchResult) { result.tandem.End(result.err) }
