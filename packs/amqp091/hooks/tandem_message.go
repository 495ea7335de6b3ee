package amqp091

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	tandem_messaging "tandem/messaging"
	tandem_rt "tandem/rt"
)

// This file makes the spans of messages published, delivered, fetched and acknowledged. A destination is what the
// conventions make of exchange, routing key and queue; routing keys may be many, so that spans are called after the
// exchange or the queue alone.

const (
	tandemScope  = "tandem/github.com/rabbitmq/amqp091-go"
	tandemSystem = "rabbitmq"
	tandemName   = "{messaging.operation.name} {messaging.destination.template}|{messaging.operation.name}"
)

var (
	tandemPublishing = tandem_rt.NewOp("amqp091.publish", tandemScope, tandem_rt.KindProducer, tandemName)
	tandemReceiving  = tandem_rt.NewOp("amqp091.receive", tandemScope, tandem_rt.KindClient, tandemName)
	tandemSettling   = tandem_rt.NewOp("amqp091.settle", tandemScope, tandem_rt.KindClient, tandemName)
)

var tandemTag = tandem_rt.NewKey("messaging.rabbitmq.message.delivery_tag")

var tandemErrors = tandem_messaging.Errors{
	{context.Canceled, "context.Canceled"},
	{context.DeadlineExceeded, "context.DeadlineExceeded"},
}

// tandemServer is where a connection goes.
type tandemServer struct {
	address string
	port    int
}

// tandemOpen is Open for who knows the address.
func tandemOpen(conn io.ReadWriteCloser, config Config, uri URI) (*Connection, error) {
	c, err := Open(conn, config)
	if c != nil {
		c.tandem = tandemServer{uri.Host, uri.Port}
	}
	return c, err
}

func tandemDescribe(span *tandem_rt.Span, ch *Channel, operation string, kind tandem_messaging.Type) {
	tandem_messaging.Describe(span, tandemSystem, operation, kind, "")
	if ch != nil && ch.connection != nil {
		tandem_messaging.Server(span, ch.connection.tandem.address, ch.connection.tandem.port)
	}
}

// tandemTemporary says whether a name is one that the server made up.
func tandemTemporary(name string) bool {
	return strings.HasPrefix(name, "amq.gen-") || strings.HasPrefix(name, "amq.rabbitmq.reply-to")
}

// tandemPlace says where a message goes to or comes from; the queue is empty for who publishes.
func tandemPlace(span *tandem_rt.Span, exchange, key, queue string) {
	if span == nil {
		return
	}
	if key != "" && span.Recording() && !tandemTemporary(key) {
		span.Str(tandem_messaging.KeyRoutingKey, key)
	}
	if tandemTemporary(key) || tandemTemporary(queue) {
		span.Bool(tandem_messaging.KeyTemporary, true)
		if tandemTemporary(key) {
			key = ""
		}
		if tandemTemporary(queue) {
			queue = ""
		}
	}
	if key == queue {
		key = ""
	}
	short := queue
	if short == "" {
		if short = exchange; short == "" {
			short = key
		}
	}
	whole := [5]string{exchange, "", key, "", queue}
	before := exchange != ""
	if before && key != "" {
		whole[1] = ":"
	}
	if before = before || key != ""; before && queue != "" {
		whole[3] = ":"
	}
	if short == "" {
		return
	}
	span.Join(tandem_rt.KeyMessagingDestinationName, whole[:]...)
	span.Str(tandem_messaging.KeyTemplate, short)
}

// tandemPublish begins the span of a message that goes out. The library's ways to publish call each other.
func tandemPublish(ch *Channel, ctx context.Context, exchange, key string) *tandem_rt.Span {
	if !tandemPublishing.On() || tandem_rt.Woven().Is(tandemPublishing) {
		return nil
	}
	span := tandem_rt.Start(tandemPublishing, tandem_rt.FromContext(ctx))
	tandemDescribe(span, ch, "publish", tandem_messaging.Send)
	if exchange == "" && key == "" {
		exchange = "amq.default"
	}
	tandemPlace(span, exchange, key, "")
	return span
}

// tandemCarried is the context that a message carries beside the program's own headers.
type tandemCarried struct {
	out   tandem_rt.Outgoing
	heads uint16
}

// tandemHeadersLimit is how large the program's headers may be: all of them must go into one frame.
const tandemHeadersLimit = 64 << 10

// take takes the current span's context, without what the program has put into the headers itself, and has the frame make
// room at once for what would not go into the first that it takes.
func (c *tandemCarried) take(f *headerFrame, payload *bytes.Buffer) {
	span := tandem_rt.Current()
	if span == nil {
		return
	}
	c.out.Fill(span, nil)
	for name := range f.Properties.Headers {
		if tandem_rt.MayCarry(name) {
			c.out.Without(name)
		}
	}
	if c.heads = c.out.Heads(); c.heads != 0 {
		payload.Grow(256)
	}
}

// write writes the table of headers: its size, then for each a name and a text.
func (c *tandemCarried) write(payload *bytes.Buffer, headers Table) error {
	start := payload.Len()
	if c.heads == 0 || len(headers) > 0 {
		if err := writeTable(payload, headers); err != nil || c.heads == 0 {
			return err
		}
	} else {
		payload.Write([]byte{0, 0, 0, 0})
	}
	if payload.Len()-start > tandemHeadersLimit {
		return nil
	}
	var size [4]byte
	for heads := c.heads; heads != 0; heads &= heads - 1 {
		header, value := c.out.Header(heads)
		payload.WriteByte(byte(len(header.Lower)))
		payload.WriteString(header.Lower)
		payload.WriteByte('S')
		binary.BigEndian.PutUint32(size[:], uint32(len(value)))
		payload.Write(size[:])
		payload.WriteString(value)
	}
	binary.BigEndian.PutUint32(payload.Bytes()[start:], uint32(payload.Len()-start-4))
	return nil
}

// tandemQueues says from which queue a consumer gets its messages. It is read for each message, and without a lock.
type tandemQueues struct {
	lock   sync.Mutex
	queues atomic.Value // map[string]string, which nobody changes
}

func (q *tandemQueues) add(consumer, queue string) { q.change(consumer, queue, true) }

func (q *tandemQueues) remove(consumer string) { q.change(consumer, "", false) }

func (q *tandemQueues) change(consumer, queue string, there bool) {
	q.lock.Lock()
	defer q.lock.Unlock()
	before, _ := q.queues.Load().(map[string]string)
	after := make(map[string]string, len(before)+1)
	for known, its := range before {
		if known != consumer {
			after[known] = its
		}
	}
	if there {
		after[consumer] = queue
	}
	q.queues.Store(after)
}

func (q *tandemQueues) of(consumer string) string {
	queues, _ := q.queues.Load().(map[string]string)
	return queues[consumer]
}

// tandemIncoming reads a message's headers.
func tandemIncoming(in *tandem_rt.Incoming, headers Table) {
	for name, value := range headers {
		if !tandem_rt.MayCarry(name) {
			continue
		}
		if text, is := value.(string); is {
			values := [1]string{text}
			in.Catch(name, values[:])
		}
	}
}

// tandemDelivered describes a span that is about one message, and links it to the one that sent it.
func tandemDelivered(span *tandem_rt.Span, m *Delivery) {
	tandemPlace(span, m.Exchange, m.RoutingKey, m.tandem)
	if !span.Recording() {
		return
	}
	span.Int(tandemTag, int64(m.DeliveryTag))
	var in tandem_rt.Incoming
	tandemIncoming(&in, m.Headers)
	in.Link(span)
}

// tandemDeliver makes the span of a message that has come for a consumer.
func tandemDeliver(subs *consumers, consumer string, m *Delivery) {
	m.tandem = subs.tandem.of(consumer)
	span := tandem_rt.StartDetached(tandemReceiving, nil)
	if span == nil {
		return
	}
	ch, _ := m.Acknowledger.(*Channel)
	tandemDescribe(span, ch, "receive", tandem_messaging.Receive)
	tandemDelivered(span, m)
	span.End()
}

// tandemGet begins the span of a call that asks for one message.
func tandemGet(ch *Channel, queue string) *tandem_rt.Span {
	span := tandem_rt.Start(tandemReceiving, nil)
	tandemDescribe(span, ch, "get", tandem_messaging.Receive)
	return span
}

// tandemGot ends it. That there is none is no error.
func tandemGot(span *tandem_rt.Span, queue string, m *Delivery, ok *bool, result *error) {
	if *ok {
		m.tandem = queue
	}
	if span == nil {
		return
	}
	if *ok {
		tandemDelivered(span, m)
	} else {
		tandemPlace(span, "", "", queue)
	}
	tandemEnd(span, result)
}

// tandemSettleDelivery begins the span of an acknowledgement of one message.
func tandemSettleDelivery(m *Delivery, operation string) *tandem_rt.Span {
	span := tandem_rt.Start(tandemSettling, nil)
	if span == nil {
		return nil
	}
	ch, _ := m.Acknowledger.(*Channel)
	tandemDescribe(span, ch, operation, tandem_messaging.Settle)
	tandemDelivered(span, m)
	return span
}

// tandemSettle does so where only its number is known.
func tandemSettle(ch *Channel, operation string, tag uint64) *tandem_rt.Span {
	if !tandemSettling.On() || tandem_rt.Woven().Is(tandemSettling) {
		return nil
	}
	span := tandem_rt.Start(tandemSettling, nil)
	tandemDescribe(span, ch, operation, tandem_messaging.Settle)
	span.Int(tandemTag, int64(tag))
	return span
}

// tandemEnd ends the span of an operation that returns *result.
func tandemEnd(span *tandem_rt.Span, result *error) {
	if span == nil {
		return
	}
	if *result != nil {
		tandemFail(span, *result)
		return
	}
	span.End()
}

// tandemFail names the server's own errors, and those of the library that look like them, by their number.
func tandemFail(span *tandem_rt.Span, err error) {
	var own *Error
	if errors.As(err, &own) && own != nil {
		span.SetError("amqp."+strconv.Itoa(own.Code), own.Reason)
		span.End()
		return
	}
	tandem_messaging.End(span, err, tandemErrors)
}
