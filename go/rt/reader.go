package rt

import (
	"sync/atomic"
	"unsafe"
)

// The reader's side, for tandem/standalone, which sends the spans of a program that has no agent. It reads the rings as an
// agent does, and only one of both at a time: see ownRings. Nothing here is on the way of a request.

// greeted is when an agent was last told about us, ns; 0: never.
var greeted int64

// readerSeen is what the reader has seen of each ring's dropped spans and log records.
var readerSeen [][2]uint64

// Reading says whether anything is recorded.
func Reading() bool { return memory != nil }

// Clocks reads both clocks at one moment: the one in records, and the wall clock's nanoseconds since 1970.
func Clocks() (monotonic, realtime uint64) { return clockPair() }

// TandemVersion is that of the tandem that wove the program.
const TandemVersion = tandemVersion

// Random is a random number.
func Random() uint64 { return rand() }

// Taken is what TakeRecords found.
type Taken struct {
	// An agent reads the rings, or is about to.
	Agent bool
	// How full the fullest ring was, bytes in RingSize.
	Level uint64
	// Spans and log records that found their ring full since the last look, while no agent was there.
	Dropped, DroppedLogs uint64
	// The reader has had enough; there may be more.
	More bool
}

// RingSize is the size of a ring, bytes.
const RingSize = ringSize

// TakeRecords hands over the finished records, and gives their room back. A record is read in place, and must not be kept.
// It ends early when spans returns false, and then keeps that record. Log records never stop it; nil: nobody wants them. It
// is not for several goroutines at once.
//
//go:norace
func TakeRecords(spans func(Record) bool, logs func(LogRecord)) (taken Taken) {
	if memory == nil {
		return taken
	}
	if told := atomic.LoadInt64(&greeted); told != 0 && nanotime()-told < agentSilence || !ownRings() {
		taken.Agent = true
	} else {
		defer disownRings()
		forgetRules()
	}
	if readerSeen == nil {
		readerSeen = make([][2]uint64, len(processors)+1)
	}
	for index := range readerSeen {
		own := more.processor
		if index < len(processors) {
			own = &processors[index]
		}
		dropped := [2]uint64{atomic.LoadUint64(&own.ring.dropped), atomic.LoadUint64(&own.ring.droppedLogs)}
		if !taken.Agent {
			taken.Dropped += dropped[0] - readerSeen[index][0]
			taken.DroppedLogs += dropped[1] - readerSeen[index][1]
		}
		readerSeen[index] = dropped // what was dropped while an agent was there, the agent has counted
		if !taken.Agent && !taken.More {
			level, complete := own.take(spans, logs)
			if level > taken.Level {
				taken.Level = level
			}
			taken.More = !complete
		}
	}
	return taken
}

// take empties one ring.
//
//go:norace
func (own *processor) take(spans func(Record) bool, logs func(LogRecord)) (level uint64, complete bool) {
	head, tail := atomic.LoadUint64(&own.ring.head), atomic.LoadUint64(&own.ring.tail)
	level = head - tail
	if level > ringSize || tail%8 != 0 { // an agent has left nonsense
		atomic.StoreUint64(&own.ring.tail, head)
		return 0, true
	}
	for tail != head {
		place := unsafe.Add(own.data, tail&(ringSize-1))
		record := (*recordLayout)(place)
		size := uint64(record.size)
		if size < 8 || size%8 != 0 || size > ringSize-tail&(ringSize-1) || size > head-tail {
			tail = head
			break
		}
		switch {
		case record.kind == recordSpan && size >= uint64(recordSize):
			if !spans(Record{place}) {
				atomic.StoreUint64(&own.ring.tail, tail)
				return level, false
			}
		case record.kind == recordLog && size >= uint64(logHeadSize) && logs != nil:
			logs(LogRecord{place})
		}
		tail += size
	}
	atomic.StoreUint64(&own.ring.tail, tail)
	return level, true
}

// Record is a finished span.
type Record struct{ place unsafe.Pointer }

func (r Record) layout() *recordLayout { return (*recordLayout)(r.place) }

// TraceID is the trace's id.
func (r Record) TraceID() *[16]byte { return &r.layout().traceID }

// SpanID is the span's id.
func (r Record) SpanID() *[8]byte { return &r.layout().spanID }

// ParentSpanID is the parent's; zeros: a root.
func (r Record) ParentSpanID() *[8]byte { return &r.layout().parentSpanID }

// Times are start and end, on the clock that Clocks reads first.
func (r Record) Times() (start, end uint64) { return r.layout().start, r.layout().end }

// Operation is the number of its operation.
func (r Record) Operation() uint32 { return r.layout().descriptor }

// Status is its status, as in OTLP.
func (r Record) Status() uint8 { return r.layout().status }

// TraceFlags are the W3C flags.
func (r Record) TraceFlags() uint8 { return r.layout().traceFlags }

// HasRemoteParent says whether the parent is in another process.
func (r Record) HasRemoteParent() bool { return r.layout().flags&recordFlagRemoteParent != 0 }

// IsCut says whether something found no room in the record.
func (r Record) IsCut() bool { return r.layout().flags&recordFlagCut != 0 }

// HasGoParts says whether Go's half of the anatomy was measured.
func (r Record) HasGoParts() bool { return r.layout().flags&recordFlagGoParts != 0 }

// Item is an attribute or another item of a record.
type Item struct {
	Kind uint8
	Key  Key // of an attribute; of an event its name; the part of the anatomy; the form of an extended item
	Data []byte
}

// Kinds of items. The attributes of an event, or of a link that can have some, lie between it and ItemEventEnd.
const (
	ItemString        = itemString
	ItemInt           = itemInt
	ItemFloat         = itemFloat
	ItemBool          = itemBool
	ItemName          = itemName
	ItemStatusMessage = itemStatusMessage
	ItemTracestate    = itemTracestate
	ItemLink          = itemLink
	ItemEvent         = itemEvent
	ItemEventEnd      = itemEventEnd
	ItemPart          = itemPart
	ItemExtended      = itemExtended
)

// Forms of extended items.
const (
	ExtendedAttribute = extendedAttribute
	ExtendedEvent     = extendedEvent
	ExtendedLink      = extendedLink
	ExtendedStart     = extendedStart
	ExtendedEnd       = extendedEnd
	ExtendedDropped   = extendedDropped
)

// Forms of the values in extended items, and how deep they go.
const (
	ValueString     = valueString
	ValueInt        = valueInt
	ValueFloat      = valueFloat
	ValueBool       = valueBool
	ValueBytes      = valueBytes
	ValueList       = valueList
	ValueMap        = valueMap
	ValueDepthLimit = valueDepthLimit
)

// itemSizes are the sizes that items of fixed size have.
var itemSizes = [16]int8{
	itemString: -1, itemInt: 8, itemFloat: 8, itemBool: 4, itemName: -1, itemStatusMessage: -1, itemTracestate: -1,
	itemLink: 24, itemEvent: 8, itemEventEnd: 0, itemPart: 8, itemExtended: 4,
	13: -1, 14: -1, 15: -1, // not known yet
}

// FirstItem is where a record's items begin.
const FirstItem = uint32(unsafe.Sizeof(recordLayout{}))

// ItemAt reads the item at a place, and says where the next one is. There is none when next is 0. What is of no
// kind that is known here, or has another size than its kind has, is an item of kind 0.
func (r Record) ItemAt(at uint32) (item Item, next uint32) {
	size := r.layout().size
	if at+4 > size {
		return item, 0
	}
	head := *(*uint32)(unsafe.Add(r.place, at))
	kind, length := head>>28, head>>16&itemLimit
	at += 4
	if kind == 0 || length > size-at {
		return item, 0
	}
	isSound := itemSizes[kind] < 0 || uint32(itemSizes[kind]) == length
	if kind == itemExtended && isSound {
		length = *(*uint32)(unsafe.Add(r.place, at))
		at += 4
		if length > size-at {
			return item, 0
		}
	}
	if isSound && kind <= itemExtended {
		item.Kind, item.Key = uint8(kind), Key(head)
		item.Data = unsafe.Slice((*byte)(unsafe.Add(r.place, at)), length)
	}
	return item, at + (length+3)&^3
}

// Word is the data of an item of eight bytes.
func (i *Item) Word() uint64 { return *(*uint64)(unsafe.Pointer(unsafe.SliceData(i.Data))) }

// IsTrue is the data of a boolean attribute.
func (i *Item) IsTrue() bool { return *(*uint32)(unsafe.Pointer(unsafe.SliceData(i.Data))) != 0 }

// LogRecord is a finished log record.
type LogRecord struct{ place unsafe.Pointer }

func (r LogRecord) layout() *logLayout { return (*logLayout)(r.place) }

// Span is the trace id and the span id of the span that it belongs to; zeros: none.
func (r LogRecord) Span() (traceID *[16]byte, spanID *[8]byte) {
	return &r.layout().traceID, &r.layout().spanID
}

// TraceFlags are that span's W3C flags.
func (r LogRecord) TraceFlags() uint8 { return r.layout().traceFlags }

// Severity is its number, as in OTLP.
func (r LogRecord) Severity() uint8 { return r.layout().severity }

// Times are its own time, ns since 1970 or 0, and when it was seen, on the clock that Clocks reads first.
func (r LogRecord) Times() (own, observed uint64) { return r.layout().time, r.layout().observed }

// Operation is the number of the operation that stands for its library.
func (r LogRecord) Operation() uint32 { return r.layout().descriptor }

// IsCut says whether something found no room in the record.
func (r LogRecord) IsCut() bool { return r.layout().flags&recordFlagCut != 0 }

// LogItem is an attribute or another item of a log record.
type LogItem struct {
	Kind uint8
	Name []byte // of an attribute
	Data []byte
}

// Kinds of the items of log records.
const (
	LogItemString       = logItemString
	LogItemInt          = logItemInt
	LogItemFloat        = logItemFloat
	LogItemBool         = logItemBool
	LogItemJSON         = logItemJson
	LogItemOmit         = logItemOmit
	LogItemBody         = logItemBody
	LogItemSeverityText = logItemSeverityText
	LogItemFunction     = logItemFunction
	LogItemFile         = logItemFile
	LogItemLine         = logItemLine
	LogItemEventName    = logItemEventName
)

// FirstLogItem is where a log record's items begin.
const FirstLogItem = logHeadSize

// ItemAt reads the item at a place, and says where the next one is. There is none when next is 0.
func (r LogRecord) ItemAt(at uint32) (item LogItem, next uint32) {
	size := r.layout().size
	if at+4 > size {
		return item, 0
	}
	head := *(*uint32)(unsafe.Add(r.place, at))
	length, name := head>>16&itemLimit, head&0xffff
	at += 4
	if head == 0 || length > size-at || name > length {
		return item, 0
	}
	item.Kind = uint8(head >> 28)
	data := unsafe.Slice((*byte)(unsafe.Add(r.place, at)), length)
	item.Name, item.Data = data[:name:name], data[name:]
	return item, at + (length+3)&^3
}

// Operation is what spans of one join point have in common.
type Operation struct {
	Kind      Kind
	ID        string
	Scope     string
	Name      string   // a template
	Arguments []string // names behind keys from FirstArgumentKey on

	// Its spans are made by hand: each has its own name. The scope has its own version, and may have a schema.
	ByHand          bool
	Version, Schema string
}

// FirstArgumentKey is the key of a function's first argument.
const FirstArgumentKey Key = firstArgumentKey

// FirstFunction is the number of the operation of the first function that was woven dormant.
const FirstFunction = firstFunction

// LookUp finds an operation by its number.
func LookUp(number uint32) (operation Operation, found bool) {
	if memory == nil || number == 0 {
		return operation, false
	}
	if number >= firstFunction {
		return lookUpFunction(number - firstFunction)
	}
	if number > atomic.LoadUint32(&control.descriptorCount) || number >= descriptorCount {
		return operation, false
	}
	descriptor := descriptorAt(number)
	operation = Operation{
		Kind:    Kind(descriptor.kind),
		ID:      string(descriptor.id[:descriptor.idSize]),
		Scope:   string(descriptor.scope[:descriptor.scopeSize]),
		Name:    string(descriptor.name[:descriptor.nameSize]),
		Version: tandemVersion,
	}
	if descriptor.flags&descriptorApi != 0 {
		operation.ByHand = true
		operation.Version, operation.Schema, _ = cutAt(operation.Name, '\n')
		operation.Name = ""
	}
	return operation, true
}

// lookUpFunction finds a function that was woven dormant in the texts: a line with import path and package's name, then one
// for each function with the names of its arguments.
func lookUpFunction(number uint32) (operation Operation, found bool) {
	end := uintptr(atomic.LoadUint32(&control.functionTextSize))
	for at := uintptr(0); at < end; {
		head := (*functionTextLayout)(unsafe.Add(functions, functionTextsAt+at))
		at += unsafe.Sizeof(*head) + (uintptr(head.size)+7)&^7
		if number < head.first || number-head.first >= head.count {
			continue
		}
		text := unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(head), unsafe.Sizeof(*head))), head.size)
		heading, text, _ := cutAt(text, '\n')
		path, name, _ := cutAt(heading, ' ')
		for skip := number - head.first; skip > 0; skip-- {
			_, text, _ = cutAt(text, '\n')
		}
		line, _, _ := cutAt(text, '\n')
		function, rest, _ := cutAt(line, ' ')
		for rest != "" {
			var argument string
			argument, rest, _ = cutAt(rest, ' ')
			operation.Arguments = append(operation.Arguments, argument)
		}
		operation.Kind, operation.Scope, operation.Name = KindInternal, path, name+"."+function
		operation.ID, operation.Version = "func/"+operation.Name, tandemVersion
		return operation, true
	}
	return operation, false
}

// KeyName is the name of an attribute's key; "": there is none of this number.
func KeyName(k Key) string {
	if int(k) < len(keyNames) {
		return keyNames[k]
	}
	index := uint32(k) - firstDynamicKey
	if k < firstDynamicKey || memory == nil || index >= atomic.LoadUint32(&control.keyCount) {
		return ""
	}
	key := keyAt(index)
	return string(key.name[:key.size])
}

// PartNames are the names of the anatomy's parts, by number.
func PartNames() []string { return partNames[:] }

// GoParts are the numbers of the parts that Go's half of the account has.
func GoParts() []uint16 { return append(goParts[:], partGoSend, partGoStopped) }
