package kgo

import (
	"context"
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	tandem_messaging "tandem/messaging"
	tandem_rt "tandem/rt"
)

// This file makes the spans of records produced, one each, until the broker has answered, and of polls, which give many at
// once. A produced record carries its span's context in a header of its own.

const (
	tandemScope  = "tandem/github.com/twmb/franz-go"
	tandemSystem = "kafka"
	// tandemLinks is how many records of a poll are linked: a record has no room for more.
	tandemLinks = 48
)

var (
	tandemSending    = tandem_rt.NewOp("franz-go.send", tandemScope, tandem_rt.KindProducer, tandem_messaging.Name)
	tandemReceiving  = tandem_rt.NewOp("franz-go.receive", tandemScope, tandem_rt.KindClient, tandem_messaging.Name)
	tandemCommitting = tandem_rt.NewOp("franz-go.settle", tandemScope, tandem_rt.KindClient, tandem_messaging.Name)
)

var tandemErrors = tandem_messaging.Errors{
	{context.Canceled, "context.Canceled"},
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
	{ErrClientClosed, "kgo.ErrClientClosed"},
	{ErrMaxBuffered, "kgo.ErrMaxBuffered"},
	{ErrRecordTimeout, "kgo.ErrRecordTimeout"},
	{ErrRecordRetries, "kgo.ErrRecordRetries"},
	{ErrAborting, "kgo.ErrAborting"},
	{errNoTopic, "kgo.errNoTopic"},
}

// tandemProduced is what belongs to a record that is produced: its span, and what it is given.
type tandemProduced struct {
	tandem_messaging.Carrier
	span    *tandem_rt.Span
	headers [1]RecordHeader
	names   uint16 // a bit for each header that was added
}

// tandemProduce is called when a record is produced, before its topic is looked at. A record that is produced again gives
// back the headers that it got before.
func tandemProduce(cl *Client, ctx context.Context, r *Record) {
	if r.tandem != nil {
		r.Headers = tandemWithout(r.Headers, r.tandem)
		r.tandem = nil
	}
	parent := tandem_rt.FromContext(ctx)
	span := tandem_rt.StartDetached(tandemSending, parent)
	if span != nil {
		topic := r.Topic
		if topic == "" {
			topic = cl.cfg.defaultProduceTopic
		}
		tandem_messaging.Describe(span, tandemSystem, "send", tandem_messaging.Send, topic)
	}
	from := span
	if from == nil {
		if from = tandem_rt.Closest(parent); from == nil {
			return
		}
	}
	produced := &tandemProduced{span: span}
	produced.Fill(from, ctx)
	for i := range r.Headers {
		produced.Without(r.Headers[i].Key)
	}
	headers := r.Headers[:len(r.Headers):len(r.Headers)]
	if len(headers) == 0 {
		headers = produced.headers[:0]
	}
	produced.names = produced.Heads()
	for heads := produced.names; heads != 0; heads &= heads - 1 {
		name, value := produced.Header(heads)
		headers = append(headers, RecordHeader{Key: name, Value: value})
	}
	r.Headers = headers
	r.tandem = produced
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
	if name, _ := produced.Header(produced.names); headers[first].Key != name {
		return headers // the program has changed them
	}
	return headers[:first:first]
}

// tandemFinished is called when a record has been written, or could not be.
func tandemFinished(r *Record, err error) {
	if r.tandem == nil || r.tandem.span == nil {
		return
	}
	span := r.tandem.span
	r.tandem.span = nil
	if err == nil {
		span.Str(tandem_messaging.KeyPartition, strconv.Itoa(int(r.Partition))) // which does not allocate below 100
		span.Int(tandem_messaging.KeyKafkaOffset, r.Offset)
	}
	tandemEndError(span, err)
}

// tandemPoll begins the span of a call that waits for records.
func tandemPoll(cl *Client, ctx context.Context) *tandem_rt.Span {
	if !tandemReceiving.On() {
		return nil
	}
	span := tandem_rt.StartDetached(tandemReceiving, tandem_rt.FromContext(ctx))
	if span != nil {
		tandem_messaging.Describe(span, tandemSystem, "poll", tandem_messaging.Receive, "")
		if cl.cfg.group != "" {
			span.Str(tandem_rt.KeyMessagingConsumerGroupName, cl.cfg.group)
		}
	}
	return span
}

// tandemPolled ends it.
func tandemPolled(span *tandem_rt.Span, fetches *Fetches) {
	if span == nil {
		return
	}
	topic, mixed, count := "", false, 0
	var failed error
	for f := range *fetches {
		topics := (*fetches)[f].Topics
		for t := range topics {
			for p := range topics[t].Partitions {
				partition := &topics[t].Partitions[p]
				if partition.Err != nil && failed == nil {
					failed = partition.Err
				}
				if len(partition.Records) == 0 {
					continue
				}
				if count == 0 {
					topic = topics[t].Topic
				} else if topic != topics[t].Topic {
					mixed = true
				}
				for i := 0; i < len(partition.Records) && count+i < tandemLinks; i++ {
					tandemLink(span, partition.Records[i])
				}
				count += len(partition.Records)
			}
		}
	}
	if topic != "" && !mixed {
		span.Str(tandem_rt.KeyMessagingDestinationName, topic)
	}
	tandem_messaging.Batch(span, count)
	if errors.Is(failed, ErrClientClosed) {
		failed = nil
	}
	tandemEndError(span, failed)
}

// tandemLink has a poll point to the span that produced a record.
func tandemLink(span *tandem_rt.Span, r *Record) {
	var in tandem_rt.Incoming
	for i := range r.Headers {
		tandem_messaging.Catch(&in, r.Headers[i].Key, r.Headers[i].Value)
	}
	in.Link(span)
}

// tandemCommit begins the span of a commit.
func tandemCommit(cl *Client, ctx context.Context) *tandem_rt.Span {
	if !tandemCommitting.On() || tandem_rt.Woven().Is(tandemCommitting) {
		return nil
	}
	span := tandem_rt.Start(tandemCommitting, tandem_rt.FromContext(ctx))
	tandem_messaging.Describe(span, tandemSystem, "commit", tandem_messaging.Settle, "")
	if cl.cfg.group != "" {
		span.Str(tandem_rt.KeyMessagingConsumerGroupName, cl.cfg.group)
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
	var code *kerr.Error
	if errors.As(err, &code) && code != nil {
		span.SetError(code.Message, code.Description)
		span.End()
		return
	}
	tandem_messaging.End(span, err, tandemErrors)
}
