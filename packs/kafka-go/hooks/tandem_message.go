package kafka

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"

	tandem_messaging "tandem/messaging"
	tandem_rt "tandem/rt"
)

// This file makes the spans of a Writer and a Reader. A Writer's messages carry its span's context in a header of their own:
// they are copied before it is added, so that the program's messages stay as they are.

const (
	tandemScope  = "tandem/github.com/segmentio/kafka-go"
	tandemSystem = "kafka"
)

var (
	tandemSending    = tandem_rt.NewOp("kafka-go.send", tandemScope, tandem_rt.KindProducer, tandem_messaging.Name)
	tandemReceiving  = tandem_rt.NewOp("kafka-go.receive", tandemScope, tandem_rt.KindClient, tandem_messaging.Name)
	tandemCommitting = tandem_rt.NewOp("kafka-go.settle", tandemScope, tandem_rt.KindClient, tandem_messaging.Name)
)

var tandemErrors = tandem_messaging.Errors{
	{context.Canceled, "context.Canceled"},
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
	{io.EOF, "io.EOF"},
	{io.ErrClosedPipe, "io.ErrClosedPipe"},
}

// tandemWrite begins the span of messages that are written in one call.
func tandemWrite(w *Writer, ctx context.Context, messages []Message) *tandem_rt.Span {
	if !tandemSending.On() {
		return nil
	}
	span := tandem_rt.Start(tandemSending, tandem_rt.FromContext(ctx))
	if span == nil {
		return nil
	}
	topic := w.Topic
	if topic == "" {
		topic = tandemTopic(messages)
	}
	tandem_messaging.Describe(span, tandemSystem, "send", tandem_messaging.Send, topic)
	if len(messages) != 1 {
		tandem_messaging.Batch(span, len(messages))
	}
	if address, is := w.Addr.(*networkAddress); is {
		if host, port, err := net.SplitHostPort(address.address); err == nil {
			number, _ := strconv.Atoi(port)
			tandem_messaging.Server(span, host, number)
		}
	}
	return span
}

// tandemTopic is the topic of all messages, if they have one.
func tandemTopic(messages []Message) string {
	for i := range messages {
		if messages[i].Topic != messages[0].Topic {
			return ""
		}
	}
	if len(messages) == 0 {
		return ""
	}
	return messages[0].Topic
}

// tandemCarried is what a message is given.
type tandemCarried struct {
	tandem_messaging.Carrier
	headers [1]Header
}

// tandemCarry returns the message with the context of the span that writes it, unless it brings one along.
func tandemCarry(message Message) Message {
	span := tandem_rt.Current()
	if span == nil {
		return message
	}
	carried := new(tandemCarried)
	carried.Fill(span, nil)
	for i := range message.Headers {
		carried.Without(message.Headers[i].Key)
	}
	headers := message.Headers[:len(message.Headers):len(message.Headers)]
	if len(headers) == 0 {
		headers = carried.headers[:0]
	}
	for heads := carried.Heads(); heads != 0; heads &= heads - 1 {
		name, value := carried.Header(heads)
		headers = append(headers, Header{Key: name, Value: value})
	}
	message.Headers = headers
	return message
}

// tandemFetch begins the span of a call that waits for a message.
func tandemFetch(ctx context.Context) *tandem_rt.Span {
	if !tandemReceiving.On() {
		return nil
	}
	return tandem_rt.Start(tandemReceiving, tandem_rt.FromContext(ctx))
}

// tandemFetched ends it. That the reader was closed is no error.
func tandemFetched(span *tandem_rt.Span, r *Reader, message *Message, result *error) {
	if span == nil {
		return
	}
	err := *result
	topic := r.config.Topic
	if err == nil {
		topic = message.Topic
	}
	tandem_messaging.Describe(span, tandemSystem, "poll", tandem_messaging.Receive, topic)
	if r.config.GroupID != "" {
		span.Str(tandem_rt.KeyMessagingConsumerGroupName, r.config.GroupID)
	}
	if err == nil {
		var in tandem_rt.Incoming
		for i := range message.Headers {
			tandem_messaging.Catch(&in, message.Headers[i].Key, message.Headers[i].Value)
		}
		in.Link(span)
		span.Str(tandem_messaging.KeyPartition, strconv.Itoa(message.Partition)) // which does not allocate below 100
		span.Int(tandem_messaging.KeyKafkaOffset, message.Offset)
	}
	if err == io.EOF {
		err = nil
	}
	tandemEndError(span, err)
}

// tandemCommit begins the span of a commit.
func tandemCommit(r *Reader, ctx context.Context, messages []Message) *tandem_rt.Span {
	if !tandemCommitting.On() {
		return nil
	}
	span := tandem_rt.Start(tandemCommitting, tandem_rt.FromContext(ctx))
	tandem_messaging.Describe(span, tandemSystem, "commit", tandem_messaging.Settle, tandemTopic(messages))
	if r.config.GroupID != "" {
		span.Str(tandem_rt.KeyMessagingConsumerGroupName, r.config.GroupID)
	}
	if len(messages) != 1 {
		tandem_messaging.Batch(span, len(messages))
	}
	return span
}

// tandemEnd ends the span of an operation that returns *result.
func tandemEnd(span *tandem_rt.Span, result *error) {
	if span != nil {
		tandemEndError(span, *result)
	}
}

func tandemEndError(span *tandem_rt.Span, err error) {
	if err == nil {
		span.End()
		return
	}
	tandemFail(span, err)
}

// tandemFail names Kafka's own errors as Kafka does.
func tandemFail(span *tandem_rt.Span, err error) {
	var several WriteErrors
	if errors.As(err, &several) {
		for _, one := range several {
			if one != nil {
				err = one
				break
			}
		}
	}
	var code Error
	if errors.As(err, &code) {
		span.SetError(strings.ToUpper(strings.ReplaceAll(code.Title(), " ", "_")), code.Description())
		span.End()
		return
	}
	tandem_messaging.End(span, err, tandemErrors)
}
