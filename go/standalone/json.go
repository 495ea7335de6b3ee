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

func jsonScope(name string) []byte {
	out := appendQuoted([]byte(`{"name":`), name)
	return append(appendQuoted(append(out, `,"version":`...), rt.TandemVersion), '}')
}

// takeJSON puts what was encoded together.
func (e *Encoder) takeJSON() []byte {
	size := len(e.resource) + 64
	for index := range e.scopes {
		size += len(e.scopes[index].head) + len(e.scopes[index].spans) + 32
	}
	body := append(make([]byte, 0, size), `{"resourceSpans":[{"resource":`...)
	body = append(append(body, e.resource...), `,"scopeSpans":[`...)
	first := true
	for index := range e.scopes {
		scope := &e.scopes[index]
		if len(scope.spans) == 0 {
			continue
		}
		if !first {
			body = append(body, ',')
		}
		first = false
		body = append(append(body, `{"scope":`...), scope.head...)
		body = append(append(append(body, `,"spans":[`...), scope.spans...), "]}"...)
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
	for index, link := range s.links {
		if index == 0 {
			to = append(to, `,"links":[`...)
		} else {
			to = append(to, ',')
		}
		to = appendHex(append(to, `{"traceId":"`...), link[:16])
		to = append(appendHex(append(to, `","spanId":"`...), link[16:]), `"}`...)
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
	to = append(jsonAttributes(to, s.inEvents[happened.from:happened.to]), ']')
	return append(appendNamed(to, `,"droppedAttributesCount":`, uint64(happened.dropped)), '}')
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

// rejectedJSON reads a response: how many spans were refused. The number is text or not.
func rejectedJSON(response []byte) (count int64) {
	const name = `"rejectedSpans"`
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
