package standalone

import (
	"bytes"
	"math"
	"strconv"

	"tandem/rt"
)

// OTLP as JSON: ids are hexadecimal, 64-bit numbers are text, enumerations are numbers.

const hexDigits = "0123456789abcdef"

func appendHex(to []byte, id []byte) []byte {
	for _, octet := range id {
		to = append(to, hexDigits[octet>>4], hexDigits[octet&15])
	}
	return to
}

// appendQuoted writes text, which is valid UTF-8, as a string.
func appendQuoted[T []byte | string](to []byte, text T) []byte {
	to = append(to, '"')
	from := 0
	for at := 0; at < len(text); at++ {
		letter := text[at]
		if letter >= ' ' && letter != '"' && letter != '\\' && letter != 0x7f {
			continue
		}
		to = append(to, text[from:at]...)
		from = at + 1
		switch letter {
		case '"', '\\':
			to = append(to, '\\', letter)
		case '\n':
			to = append(to, '\\', 'n')
		case '\t':
			to = append(to, '\\', 't')
		case '\r':
			to = append(to, '\\', 'r')
		default:
			to = append(to, '\\', 'u', '0', '0', hexDigits[letter>>4], hexDigits[letter&15])
		}
	}
	return append(append(to, text[from:]...), '"')
}

func appendNamed(to []byte, name string, number uint64) []byte {
	if number == 0 {
		return to
	}
	return strconv.AppendUint(append(to, name...), number, 10)
}

func jsonResource(facts []attribute) []byte {
	return append(jsonAttributes([]byte(`{"attributes":[`), facts), "]}"...)
}

func jsonAttributes(to []byte, attributes []attribute) []byte {
	for index := range attributes {
		to = appendJSONAttribute(to, index, &attributes[index])
	}
	return to
}

// jsonKey is an attribute up to its value.
func jsonKey(name string) []byte {
	return append(appendQuoted([]byte(`{"key":`), name), `,"value":{`...)
}

// jsonScope is what a scope begins with, and what it ends with.
func jsonScope(s *scope) (head, tail []byte) {
	head = appendQuoted([]byte(`{"name":`), s.name)
	head = append(appendQuoted(append(head, `,"version":`...), s.version), '}')
	if s.schema != "" {
		tail = appendQuoted([]byte(`,"schemaUrl":`), s.schema)
	}
	return head, tail
}

// takeJSON puts what was encoded together.
func (r *request) takeJSON() []byte {
	size := len(r.resource) + 80
	for index := range r.scopes {
		size += r.scopes[index].size() + 40
	}
	body := append(append(append(make([]byte, 0, size), `{"`...), r.words[0]...), `":[{"resource":`...)
	body = append(append(append(append(body, r.resource...), `,"`...), r.words[1]...), `":[`...)
	first := true
	for index := range r.scopes {
		scope := &r.scopes[index]
		if len(scope.encoded) == 0 {
			continue
		}
		if !first {
			body = append(body, ',')
		}
		first = false
		body = append(append(append(body, `{"scope":`...), scope.head...), scope.tail...)
		body = append(append(append(body, `,"`...), r.words[2]...), `":[`...)
		body = append(append(body, scope.encoded...), "]}"...)
	}
	return append(body, "]}]}"...)
}

func (e *Encoder) appendJSON(to []byte, s *span) []byte {
	to = appendHex(append(to, `{"traceId":"`...), s.record.TraceID()[:])
	to = appendHex(append(to, `","spanId":"`...), s.record.SpanID()[:])
	if parent := s.record.ParentSpanID(); *parent != [8]byte{} {
		to = appendHex(append(to, `","parentSpanId":"`...), parent[:])
	}
	to = append(to, '"')
	if len(s.tracestate) > 0 {
		to = appendQuoted(append(to, `,"traceState":`...), s.tracestate)
	}
	to = appendQuoted(append(to, `,"name":`...), s.name)
	to = appendNamed(to, `,"kind":`, uint64(s.kind))
	to = strconv.AppendUint(append(to, `,"startTimeUnixNano":"`...), s.start, 10)
	to = strconv.AppendUint(append(to, `","endTimeUnixNano":"`...), s.end, 10)
	to = append(to, `","attributes":[`...)
	to = jsonAttributes(to, s.attributes)
	if s.measured {
		if len(s.attributes) > 0 {
			to = append(to, ',')
		}
		to = append(to, e.noParts...)
	}
	to = append(to, ']')
	to = appendNamed(to, `,"droppedAttributesCount":`, uint64(s.dropped))
	if len(s.events) > 0 {
		to = append(to, `,"events":[`...)
		for index := range s.events {
			to = e.appendJSONEvent(to, index, s, &s.events[index])
		}
		to = append(to, ']')
	}
	to = appendNamed(to, `,"droppedEventsCount":`, uint64(s.lostEvents))
	for index := range s.links {
		if index == 0 {
			to = append(to, `,"links":[`...)
		} else {
			to = append(to, ',')
		}
		to = e.appendJSONLink(to, s, &s.links[index])
	}
	if len(s.links) > 0 {
		to = append(to, ']')
	}
	to = appendNamed(to, `,"droppedLinksCount":`, uint64(s.lostLinks))
	if status := s.status(); status != 0 || len(s.statusMessage) > 0 {
		to = strconv.AppendUint(append(to, `,"status":{"code":`...), uint64(status), 10)
		if len(s.statusMessage) > 0 {
			to = appendQuoted(append(to, `,"message":`...), s.statusMessage)
		}
		to = append(to, '}')
	}
	return append(appendNamed(to, `,"flags":`, uint64(s.flags())), '}')
}

func (e *Encoder) appendJSONEvent(to []byte, index int, s *span, happened *event) []byte {
	if index > 0 {
		to = append(to, ',')
	}
	to = strconv.AppendUint(append(to, `{"timeUnixNano":"`...), happened.time, 10)
	to = appendQuoted(append(to, `","name":`...), happened.name)
	to = append(to, `,"attributes":[`...)
	to = append(jsonAttributes(to, s.inGroups[happened.from:happened.to]), ']')
	return append(appendNamed(to, `,"droppedAttributesCount":`, uint64(happened.dropped)), '}')
}

func (e *Encoder) appendJSONLink(to []byte, s *span, other *link) []byte {
	to = appendHex(append(to, `{"traceId":"`...), other.ids[:16])
	to = append(appendHex(append(to, `","spanId":"`...), other.ids[16:]), '"')
	if len(other.tracestate) > 0 {
		to = appendQuoted(append(to, `,"traceState":`...), other.tracestate)
	}
	if other.from < other.to {
		to = append(jsonAttributes(append(to, `,"attributes":[`...), s.inGroups[other.from:other.to]), ']')
	}
	to = appendNamed(to, `,"droppedAttributesCount":`, uint64(other.dropped))
	return append(appendNamed(to, `,"flags":`, uint64(other.flags)), '}')
}

// appendJSONAttribute writes an attribute, after a comma where it is not the first.
func appendJSONAttribute(to []byte, index int, a *attribute) []byte {
	if index > 0 {
		to = append(to, ',')
	}
	to = append(to, a.key.encoded...)
	switch a.kind {
	case rt.ItemString:
		to = appendQuoted(append(to, `"stringValue":`...), a.text)
	case rt.ItemBool:
		to = strconv.AppendBool(append(to, `"boolValue":`...), a.word != 0)
	case rt.ItemInt:
		to = append(strconv.AppendInt(append(to, `"intValue":"`...), int64(a.word), 10), '"')
	case rt.ItemExtended:
		to = append(to, a.text...)
	default:
		to = appendDouble(append(to, `"doubleValue":`...), math.Float64frombits(a.word))
	}
	return append(to, "}}"...)
}

// appendDouble writes a number; what JSON has no number for is text.
func appendDouble(to []byte, number float64) []byte {
	switch {
	case math.IsNaN(number):
		return append(to, `"NaN"`...)
	case math.IsInf(number, 1):
		return append(to, `"Infinity"`...)
	case math.IsInf(number, -1):
		return append(to, `"-Infinity"`...)
	}
	return strconv.AppendFloat(to, number, 'g', -1, 64)
}

// rejectedJSON reads a response: how many were refused, which stands behind the name. The number is text or not.
func rejectedJSON(response []byte, name string) (count int64) {
	at := bytes.Index(response, []byte(name))
	if at < 0 {
		return 0
	}
	for _, letter := range response[at+len(name):] {
		switch {
		case letter >= '0' && letter <= '9' && count < 1<<40:
			count = 10*count + int64(letter-'0')
		case letter == ',' || letter == '}':
			return count
		}
	}
	return count
}

func (e *LogEncoder) appendJSON(to []byte, record rt.LogRecord, severityText []byte) []byte {
	time, observed := e.times(record)
	to = strconv.AppendUint(append(to, `{"timeUnixNano":"`...), time, 10)
	to = append(strconv.AppendUint(append(to, `","observedTimeUnixNano":"`...), observed, 10), '"')
	to = appendNamed(to, `,"severityNumber":`, severity(record))
	if len(severityText) > 0 {
		to = appendQuoted(append(to, `,"severityText":`...), severityText)
	}
	if len(e.event) > 0 {
		to = appendQuoted(append(to, `,"eventName":`...), e.event)
	}
	if len(e.body) > 0 {
		to = append(appendQuoted(append(to, `,"body":{"stringValue":`...), e.body), '}')
	}
	to = jsonAttributes(append(to, `,"attributes":[`...), e.place)
	for index := range e.attributes {
		to = appendJSONAttribute(to, len(e.place)+index, &e.attributes[index])
	}
	to = append(to, ']')
	if record.IsCut() {
		to = append(to, `,"droppedAttributesCount":1`...) // at least one; how many is not known
	}
	if traceID, spanID, found := spanOf(record); found {
		to = appendNamed(to, `,"flags":`, uint64(record.TraceFlags()))
		to = appendHex(append(to, `,"traceId":"`...), traceID)
		to = append(appendHex(append(to, `","spanId":"`...), spanID), '"')
	}
	return append(to, '}')
}
