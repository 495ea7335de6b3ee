package standalone

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"tandem/rt"
)

// Encoder makes OTLP requests of records. Once it has seen all operations and keys, a span allocates nothing.
type Encoder struct {
	request
	limits     limits
	operations map[uint32]*operation
	keys       []*key
	parts      []*key
	goParts    []uint16
	noParts    []byte      // the anatomy of a goroutine that never left its thread, encoded
	byHand     []attribute // what spans have that were made by hand
	one        span        // the span that is being encoded
	measured   [32]uint64
	values     []byte // encoded values of its attributes
}

type operation struct {
	kind      uint8
	id        string
	scope     int
	name      template
	byHand    bool
	arguments []*key
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
	links         []link
	lostLinks     int
	inGroups      []attribute // the attributes of all events and links
	lost          group       // an event or link that is over a limit
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

// group is what has attributes of its own.
type group struct {
	from    int // in inGroups
	to      int
	limit   int
	dropped int
}

type event struct {
	group
	name []byte
	time uint64
}

type link struct {
	group
	ids        []byte // trace id, span id
	flags      uint32
	tracestate []byte
}

// NewEncoder makes an encoder for the resource that an environment describes. It encodes protobuf, or JSON.
func NewEncoder(json bool, getenv func(string) string) *Encoder {
	e := &Encoder{limits: defaultLimits, operations: map[uint32]*operation{}}
	e.begin(json, getenv, [3]string{"resourceSpans", "scopeSpans", "spans"})
	e.goParts = rt.GoParts()
	for _, part := range rt.PartNames() {
		e.parts = append(e.parts, e.newKey("tandem.anatomy."+part))
	}
	e.byHand = []attribute{{key: e.newKey("tandem.source"), kind: rt.ItemString, text: []byte("api")}}
	if json {
		e.noParts = jsonAttributes(nil, e.anatomy(nil, nil))
	} else {
		for _, part := range e.anatomy(nil, nil) {
			e.noParts = appendAttribute(e.noParts, tagAttribute, &part)
		}
	}
	return e
}

// Add encodes a record. It returns false where the record makes no sense.
func (e *Encoder) Add(record rt.Record) bool {
	known := e.operation(record.Operation())
	if known == nil || *record.TraceID() == [16]byte{} || *record.SpanID() == [8]byte{} {
		return false
	}
	e.gather(record, known)
	target := &e.scopes[known.scope]
	if e.json {
		if len(target.encoded) > 0 {
			target.encoded = append(target.encoded, ',')
		}
		target.encoded = e.appendJSON(target.encoded, &e.one)
	} else {
		e.buffer = e.appendProtobuf(e.buffer[:0], &e.one)
		target.encoded = appendField(target.encoded, 2, e.buffer)
	}
	e.count++
	return true
}

func (e *Encoder) operation(number uint32) *operation {
	known, found := e.operations[number]
	if !found {
		looked, exists := rt.LookUp(number)
		if exists {
			known = &operation{
				kind: uint8(looked.Kind), id: valid(looked.ID), name: parseTemplate(looked.Name), scope: e.scopeOf(&looked),
				byHand: looked.ByHand,
			}
			if known.kind < 1 || known.kind > 5 {
				known.kind = 1
			}
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
		inGroups: s.inGroups[:0], given: s.given[:0],
	}
	e.values = e.values[:0]
	start, end := record.Times()
	if end < start {
		end = start
	}
	s.start, s.end = e.unix(start), e.unix(end)
	var parts []uint64
	var name []byte
	var open *group // whose attributes come
	for at := rt.FirstItem; ; {
		item, next := record.ItemAt(at)
		if next == 0 {
			break
		}
		at = next
		switch item.Kind {
		case rt.ItemString, rt.ItemInt, rt.ItemFloat, rt.ItemBool:
			if key := e.key(item.Key, known); key != nil {
				e.add(s, open, e.attribute(key, &item))
			}
		case rt.ItemName:
			name = item.Data
		case rt.ItemStatusMessage:
			s.statusMessage = item.Data
		case rt.ItemTracestate:
			s.tracestate = item.Data
		case rt.ItemLink:
			e.link(s, link{ids: item.Data})
		case rt.ItemEvent:
			happened := event{time: e.unix(item.Word())}
			if key := e.key(item.Key, known); key != nil {
				happened.name = key.label
			}
			open = e.event(s, happened)
		case rt.ItemEventEnd:
			open = nil
		case rt.ItemPart:
			if parts == nil {
				e.measured = [32]uint64{}
				parts = e.measured[:]
			}
			if int(item.Key) < len(parts) {
				parts[item.Key] = min(item.Word(), end-start)
			}
		case rt.ItemExtended:
			open = e.extension(s, open, &item, known)
		}
	}
	if name == nil {
		name = e.render(s, known)
	}
	s.end = max(s.end, s.start)
	s.name, s.statusMessage, s.tracestate = validBytes(name), validBytes(s.statusMessage), validBytes(s.tracestate)
	if record.IsCut() {
		s.dropped = max(s.dropped, 1) // at least one; how many is not known
	}
	if s.measured = record.HasGoParts() && parts == nil; parts != nil {
		s.attributes = e.anatomy(s.attributes, parts)
	}
	if known.byHand {
		s.attributes = append(s.attributes, e.byHand...)
	}
}

// extension is one of the items that say their length themselves. It returns what is open afterwards.
func (e *Encoder) extension(s *span, open *group, item *rt.Item, known *operation) *group {
	data := item.Data
	word := func(at int) uint64 { return binary.LittleEndian.Uint64(data[at:]) }
	half := func(at int) int { return int(binary.LittleEndian.Uint32(data[at:])) }
	switch size := len(data); {
	case item.Key == rt.ExtendedAttribute:
		if added, found := e.extended(data, known); found {
			e.add(s, open, added)
		}
	case item.Key == rt.ExtendedEvent && size >= 9:
		happened := event{name: validBytes(data[9:]), time: word(0)}
		if data[8] != 1 {
			happened.time = e.unix(happened.time)
		}
		return e.event(s, happened)
	case item.Key == rt.ExtendedLink && size >= 28:
		return e.link(s, link{ids: data[:24], flags: uint32(half(24)), tracestate: validBytes(data[28:])})
	case item.Key == rt.ExtendedStart && size == 8:
		s.start = word(0)
	case item.Key == rt.ExtendedEnd && size == 8:
		s.end = word(0)
	case item.Key == rt.ExtendedDropped && size == 12:
		s.dropped += half(0)
		s.lostEvents += half(4)
		s.lostLinks += half(8)
	}
	return open
}

// anatomy adds the parts that Go measures; without numbers they are 0.
func (e *Encoder) anatomy(to []attribute, nanoseconds []uint64) []attribute {
	for _, part := range e.goParts {
		added := attribute{key: e.parts[part], kind: rt.ItemInt}
		if nanoseconds != nil {
			added.word = nanoseconds[part]
		}
		to = append(to, added)
	}
	return to
}

// attribute makes one of an item.
func (e *Encoder) attribute(key *key, item *rt.Item) attribute {
	made := attribute{key: key, kind: item.Kind}
	switch item.Kind {
	case rt.ItemString:
		made.text = cut(validBytes(item.Data), e.limits.valueLength)
	case rt.ItemBool:
		if item.IsTrue() {
			made.word = 1
		}
	default:
		made.word = item.Word()
	}
	return made
}

// add adds an attribute to the span, or to what is open in it. Of a key that is set twice the last value counts.
func (e *Encoder) add(s *span, open *group, added attribute) {
	list, from, limit, dropped := &s.attributes, 0, e.limits.attributes, &s.dropped
	if open == &s.lost {
		return
	}
	if open != nil {
		list, from, limit, dropped = &s.inGroups, open.from, open.limit, &open.dropped
	}
	known := (*list)[from:]
	for index := range known {
		if known[index].key == added.key {
			known[index] = added
			return
		}
	}
	if len(known) >= limit {
		*dropped++
		return
	}
	*list = append(*list, added)
	if open != nil {
		open.to = len(s.inGroups)
	}
}

func (e *Encoder) event(s *span, happened event) *group {
	if len(s.events) >= e.limits.events {
		s.lostEvents++
		return &s.lost
	}
	if len(happened.name) == 0 {
		happened.name = eventName
	}
	happened.group = group{from: len(s.inGroups), to: len(s.inGroups), limit: e.limits.eventAttributes}
	s.events = append(s.events, happened)
	return &s.events[len(s.events)-1].group
}

// eventName is that of events without one.
var eventName = []byte("event")

func (e *Encoder) link(s *span, added link) *group {
	if len(s.links) >= e.limits.links {
		s.lostLinks++
		return &s.lost
	}
	added.group = group{from: len(s.inGroups), to: len(s.inGroups), limit: e.limits.linkAttributes}
	s.links = append(s.links, added)
	return &s.links[len(s.links)-1].group
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
		if s.attributes[index].key.name == key && s.attributes[index].kind != rt.ItemExtended {
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
