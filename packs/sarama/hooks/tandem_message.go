package sarama

import (
	"context"
	"errors"
	"strconv"

	tandem_messaging "tandem/messaging"
	tandem_rt "tandem/rt"
)

// This file makes the spans of messages produced and of messages handed to a consumer's channel. A synchronous producer's
// spans begin and end with its calls; an asynchronous one's, of which nobody knows who asked for them, are detached: they
// begin where the producer takes the message out of its channel, and end where it gives it back.

const (
	tandemScope  = "tandem/github.com/IBM/sarama"
	tandemSystem = "kafka"
)

var (
	tandemSending   = tandem_rt.NewOp("sarama.send", tandemScope, tandem_rt.KindProducer, tandem_messaging.Name)
	tandemReceiving = tandem_rt.NewOp("sarama.receive", tandemScope, tandem_rt.KindClient, tandem_messaging.Name)
)

var tandemErrors = tandem_messaging.Errors{
	{context.Canceled, "context.Canceled"},
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
	{ErrShuttingDown, "sarama.ErrShuttingDown"},
	{ErrOutOfBrokers, "sarama.ErrOutOfBrokers"},
	{ErrClosedClient, "sarama.ErrClosedClient"},
	{ErrNotConnected, "sarama.ErrNotConnected"},
	{ErrMessageTooLarge, "sarama.ErrMessageTooLarge"},
}

// tandemProduced is what belongs to a message that is produced.
type tandemProduced struct {
	tandem_messaging.Carrier
	span    *tandem_rt.Span // an asynchronous producer's
	known   bool            // a synchronous producer has a span for it
	headers [1]RecordHeader
	names   uint16 // a bit for each header that was added
}

// tandemSend begins the span of messages that are sent in one call.
func tandemSend(sp *syncProducer, messages ...*ProducerMessage) *tandem_rt.Span {
	if !tandemSending.On() {
		return nil
	}
	span := tandem_rt.Start(tandemSending, nil)
	if span == nil {
		return nil
	}
	topic := ""
	for i, message := range messages {
		if message == nil {
			continue
		}
		if i == 0 {
			topic = message.Topic
		} else if topic != message.Topic {
			topic = ""
			break
		}
	}
	tandem_messaging.Describe(span, tandemSystem, "send", tandem_messaging.Send, topic)
	if len(messages) != 1 {
		tandem_messaging.Batch(span, len(messages))
	}
	for _, message := range messages {
		if message != nil {
			tandemCarry(message, span, sp.producer.conf).known = true
		}
	}
	return span
}

// tandemSentOne and tandemSentAll end it.
func tandemSentOne(span *tandem_rt.Span, partition *int32, offset *int64, result *error) {
	if span == nil {
		return
	}
	if *result == nil {
		tandemPlace(span, *partition, *offset)
	}
	tandemEnd(span, *result)
}

func tandemSentAll(span *tandem_rt.Span, result *error) {
	if span != nil {
		tandemEnd(span, *result)
	}
}

// tandemPlace says where in its topic a message is.
func tandemPlace(span *tandem_rt.Span, partition int32, offset int64) {
	span.Str(tandem_messaging.KeyPartition, strconv.Itoa(int(partition))) // which does not allocate below 100
	span.Int(tandem_messaging.KeyKafkaOffset, offset)
}

// tandemCarry gives a message the context of a span, unless it brings one along. A message that is sent again gives back
// what it got before.
func tandemCarry(message *ProducerMessage, span *tandem_rt.Span, conf *Config) *tandemProduced {
	if message.tandem != nil {
		message.Headers = tandemWithout(message.Headers, message.tandem)
	}
	produced := new(tandemProduced)
	message.tandem = produced
	if !conf.Version.IsAtLeast(V0_11_0_0) {
		return produced // which has no headers
	}
	produced.Fill(span, nil)
	for i := range message.Headers {
		produced.Without(string(message.Headers[i].Key))
	}
	headers := message.Headers[:len(message.Headers):len(message.Headers)]
	if len(headers) == 0 {
		headers = produced.headers[:0]
	}
	produced.names = produced.Heads()
	for heads := produced.names; heads != 0; heads &= heads - 1 {
		name, value := produced.Header(heads)
		headers = append(headers, RecordHeader{Key: []byte(name), Value: value})
	}
	message.Headers = headers
	return produced
}

// tandemWithout returns the headers without those that were added at their end.
func tandemWithout(headers []RecordHeader, produced *tandemProduced) []RecordHeader {
	added := 0
	for heads := produced.names; heads != 0; heads &= heads - 1 {
		added++
	}
	first := len(headers) - added
	if added == 0 || first < 0 {
		return headers
	}
	if name, _ := produced.Header(produced.names); string(headers[first].Key) != name {
		return headers // the program has changed them
	}
	return headers[:first:first]
}

// tandemDispatch is called when an asynchronous producer takes up a message.
func tandemDispatch(p *asyncProducer, message *ProducerMessage) {
	if message.tandem != nil && message.tandem.known {
		message.tandem.known = false
		return
	}
	span := tandem_rt.StartDetached(tandemSending, nil)
	if span == nil {
		return
	}
	tandem_messaging.Describe(span, tandemSystem, "send", tandem_messaging.Send, message.Topic)
	tandemCarry(message, span, p.conf).span = span
}

// tandemSucceeded and tandemFailed are called when an asynchronous producer is done with messages.
func tandemSucceeded(messages []*ProducerMessage) {
	for _, message := range messages {
		if produced := message.tandem; produced != nil && produced.span != nil {
			tandemPlace(produced.span, message.Partition, message.Offset)
			produced.span.End()
			produced.span = nil
		}
	}
}

func tandemFailed(message *ProducerMessage, err error) {
	if produced := message.tandem; produced != nil && produced.span != nil {
		tandemEnd(produced.span, err)
		produced.span = nil
	}
}

// tandemDeliver makes the span of a message that is about to be put into a consumer's channel.
func tandemDeliver(message *ConsumerMessage) {
	if !tandemReceiving.On() || message.tandem {
		return
	}
	message.tandem = true
	span := tandem_rt.StartDetached(tandemReceiving, nil)
	if span == nil {
		return
	}
	tandem_messaging.Describe(span, tandemSystem, "receive", tandem_messaging.Receive, message.Topic)
	tandemPlace(span, message.Partition, message.Offset)
	var in tandem_rt.Incoming
	for _, header := range message.Headers {
		if header != nil {
			tandem_messaging.Catch(&in, string(header.Key), header.Value)
		}
	}
	in.Link(span)
	span.End()
}

func tandemEnd(span *tandem_rt.Span, err error) {
	if err == nil {
		span.End()
		return
	}
	tandemFail(span, err)
}

// tandemFail names Kafka's own errors by their number.
func tandemFail(span *tandem_rt.Span, err error) {
	var several ProducerErrors
	if errors.As(err, &several) && len(several) > 0 {
		err = several[0].Err
	}
	var code KError
	if errors.As(err, &code) {
		span.SetError("kafka."+strconv.Itoa(int(code)), code.Error())
		span.End()
		return
	}
	tandem_messaging.End(span, err, tandemErrors)
}
