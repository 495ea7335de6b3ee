package standalone

import (
	"encoding/binary"

	"tandem/rt"
)

// LogEncoder makes OTLP requests of log records.
//
// Attributes have names of the program's own, in any number: what is given twice is found here, and the last one counts.
// JSON text, of libraries that write JSON anyway, is read here, too.
type LogEncoder struct {
	request
	libraries  map[uint32]int // scopes by the operations that stand for libraries; -1: there is none
	attributes []attribute
	place      []attribute // where in the program it was written
	body       []byte
	event      []byte // its name
	members    []byte // an object as JSON text
	omitted    [][]byte
	reader     jsonReader

	function, file, line *key
}

// NewLogEncoder makes an encoder for the resource that an environment describes. It encodes protobuf, or JSON.
func NewLogEncoder(json bool, getenv func(string) string) *LogEncoder {
	e := &LogEncoder{libraries: map[uint32]int{}}
	e.begin(json, getenv, [3]string{"resourceLogs", "scopeLogs", "logRecords"})
	e.function, e.file, e.line = e.newKey("code.function.name"), e.newKey("code.file.path"), e.newKey("code.line.number")
	e.reader.request = &e.request
	return e
}

// Add encodes a record. It returns false where the record makes no sense.
func (e *LogEncoder) Add(record rt.LogRecord) bool {
	index := e.library(record.Operation())
	if index < 0 {
		return false
	}
	severityText := e.gather(record)
	target := &e.scopes[index]
	if e.json {
		if len(target.encoded) > 0 {
			target.encoded = append(target.encoded, ',')
		}
		target.encoded = e.appendJSON(target.encoded, record, severityText)
	} else {
		e.buffer = e.appendProtobuf(e.buffer[:0], record, severityText)
		target.encoded = appendField(target.encoded, 2, e.buffer)
	}
	e.count++
	return true
}

func (e *LogEncoder) library(number uint32) int {
	index, known := e.libraries[number]
	if !known {
		index = -1
		if looked, found := rt.LookUp(number); found && number < rt.FirstFunction {
			index = e.scopeOf(&looked)
		}
		e.libraries[number] = index
	}
	return index
}

// gather goes through a record's items once.
func (e *LogEncoder) gather(record rt.LogRecord) (severityText []byte) {
	e.attributes, e.place, e.body, e.members, e.omitted = e.attributes[:0], e.place[:0], e.body[:0], e.members[:0], e.omitted[:0]
	e.event = nil
	e.reader.values = e.reader.values[:0]
	for at := rt.FirstLogItem; ; {
		item, next := record.ItemAt(at)
		if next == 0 {
			break
		}
		at = next
		data := item.Data
		switch {
		case item.Kind == rt.LogItemString:
			e.put(attribute{key: e.named(item.Name), kind: rt.ItemString, text: validBytes(data)})
		case item.Kind == rt.LogItemInt && len(data) == 8:
			e.put(attribute{key: e.named(item.Name), kind: rt.ItemInt, word: binary.LittleEndian.Uint64(data)})
		case item.Kind == rt.LogItemFloat && len(data) == 8:
			e.put(attribute{key: e.named(item.Name), kind: rt.ItemFloat, word: binary.LittleEndian.Uint64(data)})
		case item.Kind == rt.LogItemBool && len(data) == 1:
			e.put(attribute{key: e.named(item.Name), kind: rt.ItemBool, word: uint64(data[0] & 1)})
		case item.Kind == rt.LogItemJSON && len(item.Name) == 0:
			e.members = append(e.members, data...)
		case item.Kind == rt.LogItemJSON:
			e.value(item.Name, data)
		case item.Kind == rt.LogItemOmit:
			e.omitted = append(e.omitted, data)
		case item.Kind == rt.LogItemBody:
			e.body = append(e.body, data...)
		case item.Kind == rt.LogItemSeverityText:
			severityText = validBytes(data)
		case item.Kind == rt.LogItemEventName:
			e.event = validBytes(data)
		case item.Kind == rt.LogItemFunction:
			e.place = append(e.place, attribute{key: e.function, kind: rt.ItemString, text: validBytes(data)})
		case item.Kind == rt.LogItemFile:
			e.place = append(e.place, attribute{key: e.file, kind: rt.ItemString, text: validBytes(data)})
		case item.Kind == rt.LogItemLine && len(data) == 4:
			e.place = append(e.place, attribute{key: e.line, kind: rt.ItemInt, word: uint64(binary.LittleEndian.Uint32(data))})
		}
	}
	e.addMembers(record.IsCut())
	e.body = validBytes(e.body)
	return severityText
}

// put adds an attribute, in place of one of the same name.
func (e *LogEncoder) put(added attribute) {
	for index := range e.attributes {
		if known := e.attributes[index].key; known == added.key || known.name == added.key.name {
			e.attributes[index] = added
			return
		}
	}
	e.attributes = append(e.attributes, added)
}

// value adds a value that is JSON text. What is not JSON, whatever it said, is text: better than nothing.
func (e *LogEncoder) value(name, text []byte) {
	if !e.reader.read(text, name) {
		e.put(attribute{key: e.named(name), kind: rt.ItemString, text: validBytes(text)})
		return
	}
	for _, found := range e.reader.found {
		e.put(found)
	}
}

// addMembers adds the members of the object that was written as text, as far as it goes.
func (e *LogEncoder) addMembers(isCut bool) {
	if len(e.members) == 0 {
		return
	}
	isWhole := e.reader.read(e.members, nil) // what came before a mistake counts
	found := e.reader.found
	if last := len(found) - 1; isCut && !isWhole && last >= 0 && isInNumber(e.members[len(e.members)-1]) {
		if kind := found[last].kind; kind == rt.ItemInt || kind == rt.ItemFloat {
			found = found[:last] // perhaps half a number
		}
	}
	for _, member := range found {
		if !e.omits(member.key.name) {
			e.put(member)
		}
	}
}

func (e *LogEncoder) omits(name string) bool {
	for _, omitted := range e.omitted {
		if string(omitted) == name {
			return true
		}
	}
	return false
}

func (e *LogEncoder) times(record rt.LogRecord) (time, observed uint64) {
	time, observed = record.Times()
	if observed = e.unix(observed); time == 0 {
		time = observed
	}
	return time, observed
}

// severity is one that OTLP knows, or 0.
func severity(record rt.LogRecord) uint64 {
	if number := record.Severity(); number <= 24 {
		return uint64(number)
	}
	return 0
}

// spanOf says whether the record belongs to a span.
func spanOf(record rt.LogRecord) (traceID, spanID []byte, found bool) {
	trace, span := record.Span()
	return trace[:], span[:], *trace != [16]byte{} && *span != [8]byte{}
}

// appendProtobuf writes a LogRecord, without its tag and length.
func (e *LogEncoder) appendProtobuf(to []byte, record rt.LogRecord, severityText []byte) []byte {
	time, observed := e.times(record)
	to = appendFixed64(to, 1, time)
	to = appendNumber(to, 2, severity(record))
	to = appendText(to, 3, severityText)
	if len(e.body) > 0 {
		to = appendVarint(appendTag(to, 5, wireBytes), uint64(fieldSize(len(e.body))))
		to = appendField(to, 1, e.body)
	}
	for _, list := range [...][]attribute{e.place, e.attributes} {
		for index := range list {
			to = appendAttribute(to, 6<<3|wireBytes, &list[index])
		}
	}
	if record.IsCut() {
		to = appendNumber(to, 7, 1) // at least one; how many is not known
	}
	if traceID, spanID, found := spanOf(record); found {
		to = binary.LittleEndian.AppendUint32(appendTag(to, 8, wireFixed32), uint32(record.TraceFlags()))
		to = appendField(appendField(to, 9, traceID), 10, spanID)
	}
	return appendText(appendFixed64(to, 11, observed), 12, e.event)
}
