package standalone

import (
	"encoding/binary"
	"math/bits"

	"tandem/rt"
)

// OTLP as protobuf, written by hand: ExportTraceServiceRequest{ResourceSpans{Resource, ScopeSpans{Scope, Span…}…}},
// and the same with the same numbers of log records.
// Sizes of small messages are computed before they are written; larger ones are written elsewhere first.

// Wire types, in the low bits of a tag.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func appendTag(to []byte, field, wire int) []byte { return appendVarint(to, uint64(field<<3|wire)) }

func appendVarint(to []byte, number uint64) []byte {
	for number >= 0x80 {
		to = append(to, byte(number)|0x80)
		number >>= 7
	}
	return append(to, byte(number))
}

func varintSize(number uint64) int { return (bits.Len64(number|1) + 6) / 7 }

// appendField writes a field of bytes, text, or a message.
func appendField[T []byte | string](to []byte, field int, data T) []byte {
	to = appendTag(to, field, wireBytes)
	to = appendVarint(to, uint64(len(data)))
	return append(to, data...)
}

// appendText is appendField but for nothing, which is the default.
func appendText[T []byte | string](to []byte, field int, data T) []byte {
	if len(data) == 0 {
		return to
	}
	return appendField(to, field, data)
}

func appendNumber(to []byte, field int, number uint64) []byte {
	if number == 0 {
		return to
	}
	return appendVarint(appendTag(to, field, wireVarint), number)
}

func appendFixed64(to []byte, field int, number uint64) []byte {
	return binary.LittleEndian.AppendUint64(appendTag(to, field, wireFixed64), number)
}

func fieldSize(size int) int { return 1 + varintSize(uint64(size)) + size } // fields below 16

// tagAttribute is the tag of an attribute in a span.
const tagAttribute = 9<<3 | wireBytes

func protobufResource(facts []attribute) []byte {
	var message []byte
	for index := range facts {
		message = appendAttribute(message, 1<<3|wireBytes, &facts[index])
	}
	return appendField(nil, 1, message)
}

// protobufKey is a KeyValue up to the length of its value.
func protobufKey(name string) []byte { return append(appendField(nil, 1, name), 2<<3|wireBytes) }

// protobufScope is what a scope begins with, and what it ends with.
func protobufScope(s *scope) (head, tail []byte) {
	return appendField(nil, 1, appendText(appendText(nil, 1, s.name), 2, s.version)), appendText(nil, 3, s.schema)
}

// takeProtobuf puts what was encoded together.
func (r *request) takeProtobuf() []byte {
	size := len(r.resource)
	for index := range r.scopes {
		if scope := &r.scopes[index]; len(scope.encoded) > 0 {
			size += fieldSize(scope.size())
		}
	}
	body := make([]byte, 0, fieldSize(size))
	body = appendVarint(appendTag(body, 1, wireBytes), uint64(size))
	body = append(body, r.resource...)
	for index := range r.scopes {
		if scope := &r.scopes[index]; len(scope.encoded) > 0 {
			body = appendVarint(appendTag(body, 2, wireBytes), uint64(scope.size()))
			body = append(append(append(body, scope.head...), scope.encoded...), scope.tail...)
		}
	}
	return body
}

func (s *scope) size() int { return len(s.head) + len(s.encoded) + len(s.tail) }

// appendProtobuf writes a Span, without its tag and length.
func (e *Encoder) appendProtobuf(to []byte, s *span) []byte {
	to = append(to, 1<<3|wireBytes, 16)
	to = append(to, s.record.TraceID()[:]...)
	to = append(to, 2<<3|wireBytes, 8)
	to = append(to, s.record.SpanID()[:]...)
	to = appendText(to, 3, s.tracestate)
	if parent := s.record.ParentSpanID(); *parent != [8]byte{} {
		to = append(append(to, 4<<3|wireBytes, 8), parent[:]...)
	}
	to = appendText(to, 5, s.name)
	to = append(to, 6<<3|wireVarint, s.kind, 7<<3|wireFixed64)
	to = binary.LittleEndian.AppendUint64(to, s.start)
	to = binary.LittleEndian.AppendUint64(append(to, 8<<3|wireFixed64), s.end)
	for index := range s.attributes {
		to = appendAttribute(to, tagAttribute, &s.attributes[index])
	}
	if s.measured {
		to = append(to, e.noParts...)
	}
	to = appendNumber(to, 10, uint64(s.dropped))
	for index := range s.events {
		to = e.appendEvent(to, s, &s.events[index])
	}
	to = appendNumber(to, 12, uint64(s.lostEvents))
	for index := range s.links {
		to = e.appendLink(to, s, &s.links[index])
	}
	to = appendNumber(to, 14, uint64(s.lostLinks))
	if status := s.status(); status != 0 || len(s.statusMessage) > 0 {
		size := 0
		if len(s.statusMessage) > 0 {
			size += fieldSize(len(s.statusMessage))
		}
		if status != 0 {
			size += 2
		}
		to = appendVarint(appendTag(to, 15, wireBytes), uint64(size))
		to = appendNumber(appendText(to, 2, s.statusMessage), 3, uint64(status))
	}
	return binary.LittleEndian.AppendUint32(appendTag(to, 16, wireFixed32), s.flags())
}

func (e *Encoder) appendEvent(to []byte, s *span, happened *event) []byte {
	to = appendTag(to, 11, wireBytes)
	mark := len(to)
	to = appendFixed64(to, 1, happened.time)
	to = appendField(to, 2, happened.name)
	for index := happened.from; index < happened.to; index++ {
		to = appendAttribute(to, 3<<3|wireBytes, &s.inGroups[index])
	}
	return insertLength(appendNumber(to, 4, uint64(happened.dropped)), mark)
}

func (e *Encoder) appendLink(to []byte, s *span, other *link) []byte {
	to = appendTag(to, 13, wireBytes)
	mark := len(to)
	to = appendField(appendField(to, 1, other.ids[:16]), 2, other.ids[16:])
	to = appendText(to, 3, other.tracestate)
	for index := other.from; index < other.to; index++ {
		to = appendAttribute(to, 4<<3|wireBytes, &s.inGroups[index])
	}
	to = appendNumber(to, 5, uint64(other.dropped))
	if other.flags != 0 {
		to = binary.LittleEndian.AppendUint32(appendTag(to, 6, wireFixed32), other.flags)
	}
	return insertLength(to, mark)
}

// appendAttribute writes a KeyValue. Most are so short that their lengths are a byte each.
func appendAttribute(to []byte, tag byte, a *attribute) []byte {
	value := a.valueSize()
	if size := len(a.key.encoded) + 1 + value; size < 0x80 {
		to = append(to, tag, byte(size))
	} else {
		to = appendVarint(append(to, tag), uint64(len(a.key.encoded)+varintSize(uint64(value))+value))
	}
	to = append(to, a.key.encoded...)
	if value < 0x80 {
		to = append(to, byte(value))
	} else {
		to = appendVarint(to, uint64(value))
	}
	switch a.kind {
	case rt.ItemString:
		if length := len(a.text); length < 0x80 {
			to = append(to, 1<<3|wireBytes, byte(length))
		} else {
			to = appendVarint(append(to, 1<<3|wireBytes), uint64(length))
		}
		return append(to, a.text...)
	case rt.ItemBool:
		return append(to, 2<<3|wireVarint, byte(a.word))
	case rt.ItemInt:
		return appendVarint(append(to, 3<<3|wireVarint), a.word)
	case rt.ItemExtended:
		return append(to, a.text...)
	}
	return binary.LittleEndian.AppendUint64(append(to, 4<<3|wireFixed64), a.word)
}

// valueSize is that of its AnyValue.
func (a *attribute) valueSize() int {
	switch a.kind {
	case rt.ItemString:
		return fieldSize(len(a.text))
	case rt.ItemBool:
		return 2
	case rt.ItemInt:
		return 1 + varintSize(a.word)
	case rt.ItemExtended:
		return len(a.text)
	}
	return 9
}

// rejected reads an ExportTraceServiceResponse, or that of log records: how many were refused, and why.
func rejected(response []byte) (count int64, message string) {
	partial := findField(response, 1, wireBytes)
	if partial == nil {
		return 0, ""
	}
	count = int64(partial.number(1))
	if text := findField(partial.data, 2, wireBytes); text != nil {
		message = string(text.data)
	}
	return count, message
}

// field is one field of a message.
type field struct {
	data   []byte
	varint uint64
}

func (f *field) number(number int) uint64 {
	if found := findField(f.data, number, wireVarint); found != nil {
		return found.varint
	}
	return 0
}

// findField returns the last field of a number and wire type; nil where there is none, or the message makes no sense.
func findField(message []byte, number, wire int) (found *field) {
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 {
			return nil
		}
		message = message[size:]
		var this field
		switch tag & 7 {
		case wireVarint:
			if this.varint, size = binary.Uvarint(message); size <= 0 {
				return nil
			}
		case wireFixed64:
			size = 8
		case wireFixed32:
			size = 4
		case wireBytes:
			length, head := binary.Uvarint(message)
			if head <= 0 || length > uint64(len(message)-head) {
				return nil
			}
			this.data = message[head : head+int(length)]
			size = head + int(length)
		default:
			return nil
		}
		if size > len(message) {
			return nil
		}
		message = message[size:]
		if tag>>3 == uint64(number) && int(tag&7) == wire {
			matching := this
			found = &matching
		}
	}
	return found
}
