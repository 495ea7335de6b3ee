package standalone

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

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
	keys       []*key
	parts      []*key
	noParts    []byte // the anatomy of a goroutine that never left its thread, encoded
	one        span   // the span that is being encoded
	measured   [32]uint64
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
	arguments []*key
}

// key is the name of attributes, and what an attribute begins with, up to its value.
type key struct {
	name    string
	encoded []byte
}

func (e *Encoder) newKey(name string) *key {
	made := &key{name: valid(name)}
	if e.json {
		made.encoded = jsonKey(made.name)
	} else {
		made.encoded = protobufKey(made.name)
	}
	return made
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
	measured      bool        // the anatomy is known, and all of it is 0
	start, end    uint64
	given         []byte // room for a name
}

type attribute struct {
	key  *key
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
		e.parts = append(e.parts, e.newKey("tandem.anatomy."+part))
	}
	var facts []attribute
	for _, pair := range resource(getenv) {
		facts = append(facts, attribute{key: e.newKey(pair.key), kind: rt.ItemString, text: []byte(pair.text)})
		if pair.isInt {
			facts[len(facts)-1].kind, facts[len(facts)-1].word = rt.ItemInt, uint64(pair.number)
		}
	}
	if json {
		e.resource = jsonResource(facts)
		e.noParts = jsonAttributes(nil, e.anatomy(nil, nil))
	} else {
		e.resource = protobufResource(facts)
		for _, part := range e.anatomy(nil, nil) {
			e.noParts = appendAttribute(e.noParts, tagAttribute, &part)
		}
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
				known.arguments = append(known.arguments, e.newKey("tandem.argument."+name))
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

// key is the name behind a number; nil: there is none.
func (e *Encoder) key(number rt.Key, known *operation) *key {
	if int(number) < len(e.keys) && e.keys[number] != nil {
		return e.keys[number]
	}
	if number >= rt.FirstArgumentKey {
		if position := int(number - rt.FirstArgumentKey); position < len(known.arguments) {
			return known.arguments[position]
		}
		return nil
	}
	name := rt.KeyName(number)
	if name == "" {
		return nil
	}
	for int(number) >= len(e.keys) {
		e.keys = append(e.keys, nil)
	}
	e.keys[number] = e.newKey(name)
	return e.keys[number]
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
	var parts []uint64
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
			if key := e.key(item.Key, known); key != nil && !inEvent {
				e.add(&s.attributes, 0, e.limits.attributes, &s.dropped, key, &item)
			} else if key != nil && s.lostEvents == 0 {
				latest := &s.events[len(s.events)-1]
				e.add(&s.inEvents, latest.from, e.limits.eventAttributes, &latest.dropped, key, &item)
				latest.to = len(s.inEvents)
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
			if parts == nil {
				e.measured = [32]uint64{}
				parts = e.measured[:]
			}
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
	if s.measured = record.HasGoParts() && parts == nil; parts != nil {
		s.attributes = e.anatomy(s.attributes, parts)
	}
}

// anatomy adds the parts that Go measures; without numbers they are 0.
func (e *Encoder) anatomy(to []attribute, nanoseconds []uint64) []attribute {
	for _, part := range rt.GoParts() {
		added := attribute{key: e.parts[part], kind: rt.ItemInt}
		if nanoseconds != nil {
			added.word = nanoseconds[part]
		}
		to = append(to, added)
	}
	return to
}

// add adds an attribute to those in list from a place on. Of a key that is set twice the last value counts.
func (e *Encoder) add(list *[]attribute, from, limit int, dropped *int, key *key, item *rt.Item) {
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
	known := (*list)[from:]
	for index := range known {
		if known[index].key == key {
			known[index] = added
			return
		}
	}
	if len(known) >= limit {
		*dropped++
		return
	}
	*list = append(*list, added)
}

func (e *Encoder) event(s *span, item *rt.Item, known *operation) {
	if len(s.events) >= e.limits.events {
		s.lostEvents++
		return
	}
	name := "event"
	if key := e.key(item.Key, known); key != nil {
		name = key.name
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
		if s.attributes[index].key.name == key {
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
