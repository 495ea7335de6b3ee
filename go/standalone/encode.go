package standalone

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"tandem/rt"
)

// Encoder makes OTLP requests of records. Once it has seen all operations and keys, a span allocates nothing.
type Encoder struct {
	json       bool
	limits     limits
	offset     int64  // the wall clock is so much later than the one in records
	resource   []byte // encoded
	scopes     []scope
	spans      int
	operations map[uint32]*operation
	keys       []string
	parts      []string
	one        span // the span that is being encoded
	buffer     []byte
}

// scope holds the encoded spans of one instrumentation scope.
type scope struct {
	name  string
	head  []byte
	spans []byte
}

type operation struct {
	kind      uint8
	id        string
	scope     int
	name      template
	arguments []string
}

// span is one record, gathered: what both forms of OTLP say.
type span struct {
	record        rt.Record
	kind          uint8
	name          []byte
	statusMessage []byte
	tracestate    []byte
	attributes    []attribute
	dropped       int
	events        []event
	lostEvents    int
	links         [][]byte // trace id, span id
	lostLinks     int
	inEvents      []attribute // the attributes of all events
	start, end    uint64
	given         []byte // room for a name
}

type attribute struct {
	key  string
	kind uint8
	text []byte
	word uint64
}

type event struct {
	name    string
	time    uint64
	from    int // its attributes in inEvents
	to      int
	dropped int
}

// NewEncoder makes an encoder for the resource that an environment describes. It encodes protobuf, or JSON.
func NewEncoder(json bool, getenv func(string) string) *Encoder {
	e := &Encoder{json: json, limits: defaultLimits, operations: map[uint32]*operation{}}
	for _, part := range rt.PartNames() {
		e.parts = append(e.parts, "tandem.anatomy."+part)
	}
	pairs := resource(getenv)
	if json {
		e.resource = jsonResource(pairs)
	} else {
		e.resource = protobufResource(pairs)
	}
	e.SetClock()
	return e
}

// SetClock compares the clocks; the wall clock may have been set.
func (e *Encoder) SetClock() {
	monotonic, realtime := rt.Clocks()
	e.offset = int64(realtime - monotonic)
}

// Spans is how many there are since Take.
func (e *Encoder) Spans() int { return e.spans }

// Add encodes a record. It returns false where the record makes no sense.
func (e *Encoder) Add(record rt.Record) bool {
	known := e.operation(record.Operation())
	if known == nil || *record.TraceID() == [16]byte{} || *record.SpanID() == [8]byte{} {
		return false
	}
	e.gather(record, known)
	target := &e.scopes[known.scope]
	if e.json {
		if len(target.spans) > 0 {
			target.spans = append(target.spans, ',')
		}
		target.spans = e.appendJSON(target.spans, &e.one)
	} else {
		e.buffer = e.appendProtobuf(e.buffer[:0], &e.one)
		target.spans = appendField(target.spans, 2, e.buffer)
	}
	e.spans++
	return true
}

// Take returns a request with all spans since the last one.
func (e *Encoder) Take() (body []byte, spans int) {
	spans, e.spans = e.spans, 0
	if e.json {
		body = e.takeJSON()
	} else {
		body = e.takeProtobuf()
	}
	for index := range e.scopes {
		e.scopes[index].spans = e.scopes[index].spans[:0]
	}
	return body, spans
}

func (e *Encoder) operation(number uint32) *operation {
	known, found := e.operations[number]
	if !found {
		looked, exists := rt.LookUp(number)
		if exists {
			known = &operation{kind: uint8(looked.Kind), id: valid(looked.ID), name: parseTemplate(looked.Name), scope: e.scopeNamed(valid(looked.Scope))}
			if number >= rt.FirstFunction {
				known.name = template{{{text: known.id[len("func/"):]}}} // a name, not a template
			}
			for _, name := range looked.Arguments {
				known.arguments = append(known.arguments, "tandem.argument."+valid(name))
			}
		}
		e.operations[number] = known // also that there is none
	}
	return known
}

func (e *Encoder) scopeNamed(name string) int {
	for index := range e.scopes {
		if e.scopes[index].name == name {
			return index
		}
	}
	added := scope{name: name}
	if e.json {
		added.head = jsonScope(name)
	} else {
		added.head = protobufScope(name)
	}
	e.scopes = append(e.scopes, added)
	return len(e.scopes) - 1
}

func (e *Encoder) keyName(key rt.Key, known *operation) string {
	if key >= rt.FirstArgumentKey {
		if position := int(key - rt.FirstArgumentKey); position < len(known.arguments) {
			return known.arguments[position]
		}
		return ""
	}
	for int(key) >= len(e.keys) {
		e.keys = append(e.keys, "")
	}
	if e.keys[key] == "" {
		e.keys[key] = valid(rt.KeyName(key))
	}
	return e.keys[key]
}

// gather goes through a record's items once. What is over a limit is counted.
func (e *Encoder) gather(record rt.Record, known *operation) {
	s := &e.one
	*s = span{
		record: record, kind: known.kind, attributes: s.attributes[:0], events: s.events[:0], links: s.links[:0],
		inEvents: s.inEvents[:0], given: s.given[:0],
	}
	start, end := record.Times()
	if end < start {
		end = start
	}
	s.start, s.end = uint64(int64(start)+e.offset), uint64(int64(end)+e.offset)
	var parts [32]uint64
	var name []byte
	inEvent := false
	for at := rt.FirstItem; ; {
		item, next := record.ItemAt(at)
		if next == 0 {
			break
		}
		at = next
		switch item.Kind {
		case rt.ItemString, rt.ItemInt, rt.ItemFloat, rt.ItemBool:
			if key := e.keyName(item.Key, known); key != "" {
				e.attribute(s, key, &item, inEvent)
			}
		case rt.ItemName:
			name = item.Data
		case rt.ItemStatusMessage:
			s.statusMessage = item.Data
		case rt.ItemTracestate:
			s.tracestate = item.Data
		case rt.ItemLink:
			if len(s.links) < e.limits.links {
				s.links = append(s.links, item.Data)
			} else {
				s.lostLinks++
			}
		case rt.ItemEvent:
			inEvent = true
			e.event(s, &item, known)
		case rt.ItemEventEnd:
			inEvent = false
		case rt.ItemPart:
			if int(item.Key) < len(parts) {
				parts[item.Key] = min(item.Word(), end-start)
			}
		}
	}
	if name == nil {
		name = e.render(s, known)
	}
	s.name, s.statusMessage, s.tracestate = validBytes(name), validBytes(s.statusMessage), validBytes(s.tracestate)
	if record.IsCut() {
		s.dropped++ // at least one; how many is not known
	}
	if record.HasGoParts() {
		for _, part := range rt.GoParts() {
			s.attributes = append(s.attributes, attribute{key: e.parts[part], kind: rt.ItemInt, word: parts[part]})
		}
	}
}

// attribute adds one to the span or to its last event. Of a key that is set twice the last value counts.
func (e *Encoder) attribute(s *span, key string, item *rt.Item, inEvent bool) {
	list, from, limit := &s.attributes, 0, e.limits.attributes
	dropped := &s.dropped
	if inEvent {
		if s.lostEvents > 0 {
			return
		}
		latest := &s.events[len(s.events)-1]
		list, from, limit, dropped = &s.inEvents, latest.from, e.limits.eventAttributes, &latest.dropped
		defer func() { latest.to = len(s.inEvents) }()
	}
	added := attribute{key: key, kind: item.Kind}
	switch item.Kind {
	case rt.ItemString:
		added.text = cut(validBytes(item.Data), e.limits.valueLength)
	case rt.ItemBool:
		if item.IsTrue() {
			added.word = 1
		}
	default:
		added.word = item.Word()
	}
	for index := from; index < len(*list); index++ {
		if isSame((*list)[index].key, key) {
			(*list)[index] = added
			return
		}
	}
	if len(*list)-from >= limit {
		*dropped++
		return
	}
	*list = append(*list, added)
}

// isSame compares names of keys, which are kept once each.
func isSame(one, other string) bool {
	return len(one) == len(other) && unsafe.StringData(one) == unsafe.StringData(other)
}

func (e *Encoder) event(s *span, item *rt.Item, known *operation) {
	if len(s.events) >= e.limits.events {
		s.lostEvents++
		return
	}
	name := e.keyName(item.Key, known)
	if name == "" {
		name = "event"
	}
	at := len(s.inEvents)
	s.events = append(s.events, event{name: name, time: uint64(int64(item.Word()) + e.offset), from: at, to: at})
}

// render makes the name that the operation gives the span.
func (e *Encoder) render(s *span, known *operation) []byte {
	start := len(s.given)
	for _, alternative := range known.name {
		s.given = s.given[:start]
		complete := true
		for _, part := range alternative {
			if part.key == "" {
				s.given = append(s.given, part.text...)
			} else if found := s.find(part.key); found != nil {
				s.given = found.appendText(s.given)
			} else {
				complete = false
				break
			}
		}
		if complete {
			return s.given[start:]
		}
	}
	s.given = append(s.given[:start], known.id...)
	return s.given[start:]
}

func (s *span) find(key string) *attribute {
	for index := range s.attributes {
		if s.attributes[index].key == key {
			return &s.attributes[index]
		}
	}
	return nil
}

func (a *attribute) appendText(to []byte) []byte {
	switch a.kind {
	case rt.ItemString:
		return append(to, a.text...)
	case rt.ItemInt:
		return strconv.AppendInt(to, int64(a.word), 10)
	case rt.ItemFloat:
		return strconv.AppendFloat(to, math.Float64frombits(a.word), 'g', -1, 64)
	}
	return strconv.AppendBool(to, a.word != 0)
}

// cut shortens text to so many characters.
func cut(text []byte, limit int) []byte {
	if limit < 0 || len(text) <= limit {
		return text
	}
	count := 0
	for at := range string(text) {
		if count == limit {
			return text[:at]
		}
		count++
	}
	return text
}

// validBytes is text that OTLP can carry: a field that is not UTF-8 would make the whole request unreadable.
func validBytes(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return []byte(strings.ToValidUTF8(string(text), "\uFFFD"))
}

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// flags are a span's: those of W3C, that it is known whether the parent is remote, and whether it is.
func (s *span) flags() uint32 {
	flags := uint32(s.record.TraceFlags()) | 0x100
	if s.record.HasRemoteParent() {
		flags |= 0x200
	}
	return flags
}

// status is the span's, as OTLP numbers it.
func (s *span) status() uint8 {
	if status := s.record.Status(); status <= 2 {
		return status
	}
	return 0
}
