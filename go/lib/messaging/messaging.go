// Package messaging describes what clients of brokers do, as the semantic conventions for messaging want it: for the packs
// of such clients.
//
// Who sends a message makes a producer's span (Send), whose context goes into the message's headers. Who asks for messages
// makes a client's span (Receive) with a link to the span that sent each. Whose function is called for a message has a
// consumer's span (Process), which continues the trace of the message and has the link too. To acknowledge is a client's
// span (Settle). Nothing here allocates, but for errors.
package messaging

import (
	"unsafe"

	"tandem/failure"
	"tandem/rt"
)

// Name is what spans are called: what is done, and to what.
const Name = "{messaging.operation.name} {messaging.destination.name}|{messaging.operation.name}"

// Type is what kind of operation it is, whatever the library calls it.
type Type string

// The types of operations.
const (
	Create  Type = "create"
	Send    Type = "send"
	Receive Type = "receive"
	Process Type = "process"
	Settle  Type = "settle"
)

// Keys that the library's record does not know by itself.
var (
	KeyTemplate    = rt.NewKey("messaging.destination.template")     // text: the destination's name without what varies
	KeyTemporary   = rt.NewKey("messaging.destination.temporary")    // bool
	KeyPartition   = rt.NewKey("messaging.destination.partition.id") // text
	KeyKafkaOffset = rt.NewKey("messaging.kafka.offset")             // int
	KeyRoutingKey  = rt.NewKey("messaging.rabbitmq.destination.routing_key")
)

// Describe says what is done. The destination may be empty: there is none, or it is not known yet.
func Describe(span *rt.Span, system, operation string, kind Type, destination string) {
	span.Str(rt.KeyMessagingSystem, system)
	span.Str(rt.KeyMessagingOperationName, operation)
	span.Str(rt.KeyMessagingOperationType, string(kind))
	if destination != "" {
		span.Str(rt.KeyMessagingDestinationName, destination)
	}
}

// Batch says how many messages an operation that can be about several was about.
func Batch(span *rt.Span, count int) { span.Int(rt.KeyMessagingBatchMessageCount, int64(count)) }

// Server says where the broker is; what is empty is not known.
func Server(span *rt.Span, address string, port int) {
	if address == "" {
		return
	}
	span.Str(rt.KeyServerAddressDimension, address)
	if port != 0 {
		span.Int(rt.KeyServerPortDimension, int64(port))
	}
}

// Catch looks at a header of a message whose value is bytes, which may be used again for something else.
func Catch(in *rt.Incoming, name string, value []byte) {
	if len(value) == 0 || !rt.MayCarry(name) {
		return
	}
	text := ""
	if len(value) == rt.TraceparentSize && len(name) == len("traceparent") {
		text = unsafe.String(&value[0], len(value)) // only looked at
	} else {
		text = string(value)
	}
	values := [1]string{text}
	in.Catch(name, values[:])
}

// StartProcess begins the span of a function that is called for one message. It continues the message's trace.
func StartProcess(op *rt.Op, in *rt.Incoming) *rt.Span {
	span := rt.StartIncoming(op, in)
	in.Link(span)
	return span
}

// Errors names the errors that a pack knows by their value.
type Errors = failure.Names

// End ends a span whose operation ended with err.
func End(span *rt.Span, err error, names Errors) {
	if span == nil {
		return
	}
	if err != nil {
		fail(span, err, names)
	}
	span.End()
}

// fail describes an error. Error is code of others, which may panic.
func fail(span *rt.Span, err error, names Errors) {
	kind, text := "_OTHER", ""
	defer func() {
		_ = recover()
		span.SetError(kind, text)
	}()
	text = err.Error()
	kind = names.Kind(err)
}

// Carrier is a span's context in the form of headers whose values are bytes, for messages that outlive their span. It is
// the one thing here that has to be allocated.
type Carrier struct{ out rt.Outgoing }

// Fill takes the context of a span, and the baggage of ctx where that has its own.
func (c *Carrier) Fill(span *rt.Span, ctx interface{ Value(any) any }) { c.out.Fill(span, ctx) }

// Heads has a bit for each header that there is to add; see rt.Outgoing.
func (c *Carrier) Heads() uint16 { return c.out.Heads() }

// Without leaves out a header that the program has added itself.
func (c *Carrier) Without(name string) {
	if rt.MayCarry(name) {
		c.out.Without(name)
	}
}

// Header returns the header of the lowest bit.
func (c *Carrier) Header(heads uint16) (name string, value []byte) {
	header, text := c.out.Header(heads)
	if len(text) == rt.TraceparentSize {
		return header.Lower, unsafe.Slice(unsafe.StringData(text), len(text)) // it lies in c
	}
	return header.Lower, []byte(text)
}
