package rt

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Log records are put together beside the ring, in memory that each P keeps for them, and copied there in one piece:
// values may be made by code of the user's, which must not run while we hold the P. Spans matter more: log records leave
// them a quarter of the ring.

// Log is a log record that is being made. Its methods work on nil, which is what StartLog returns where none is wanted.
type Log struct {
	used   uint32
	body   uint32 // bytes of it so far
	prefix uint32 // bytes of name that hold the groups, with the dot at their end
	name   [logNameLimit + 1]byte
	room   [logSize / 8]uint64
}

const (
	freeLogs     = 8
	logHeadSize  = uint32(unsafe.Sizeof(logLayout{}))
	logShare     = ringSize / 4 * 3 // of a ring; the rest is for spans
	logItemLimit = itemLimit &^ 3
)

// The numbers of severities, as in OTLP.
const (
	SeverityTrace = 1
	SeverityDebug = 5
	SeverityInfo  = 9
	SeverityWarn  = 13
	SeverityError = 17
	SeverityFatal = 21
)

// Logs says whether log records are wanted at all.
func Logs() bool { return settings.logs }

// LogIDs says whether lines of the log package are to carry the ids of their span.
func LogIDs() bool { return settings.logIDs }

// StartLog begins a log record of a library, which op stands for. It belongs to the span that a span started now would be
// a child of, given what the context.Context carries.
//
//go:norace
func StartLog(op *Op, explicit *Span, severity uint8, severityText string) *Log {
	if !settings.logs || op == nil || !op.On() {
		return nil
	}
	current := (*Span)(here().context)
	if current == &muted {
		return nil
	}
	l := takeLog(logHeadSize)
	if l == nil {
		return nil
	}
	head := l.head()
	*head = logLayout{kind: recordLog, severity: severity, observed: uint64(nanotime()), descriptor: op.id}
	if span, _ := chooseParent(explicit, current); span != nil {
		head.traceFlags, head.traceID, head.spanID = span.traceFlags, span.trace, span.id
	}
	if severityText != "" {
		l.item(logItemSeverityText, nil, "", stringPointer(severityText), uint32(len(severityText)))
	}
	return l
}

// StartLogItems begins what is not a record, but attributes that many records will have: see Items.
//
//go:norace
func StartLogItems() *Log {
	if !settings.logs {
		return nil
	}
	l := takeLog(0)
	if l != nil {
		*l.head() = logLayout{}
	}
	return l
}

// Emit hands the record over. It must not be used afterwards.
//
//go:norace
func (l *Log) Emit() {
	if l == nil {
		return
	}
	head := l.head()
	size := (l.used + 7) &^ 7
	if size != l.used {
		*(*uint32)(l.at(l.used)) = 0
	}
	head.size = size
	if head.flags&recordFlagCut != 0 {
		atomic.AddUint64(&control.cutLogs, 1)
	}
	number := procPin()
	if number < len(processors) {
		own := &processors[number]
		own.publishLog(unsafe.Pointer(head), uint64(size))
		own.giveLog(l)
	} else {
		atomic.AddUint64(&processors[0].ring.droppedLogs, 1)
	}
	procUnpin()
	if answered != atomic.LoadUint32(&control.generation) {
		answerAgent()
	}
}

// Discard gives the record up.
//
//go:norace
func (l *Log) Discard() {
	if l == nil {
		return
	}
	if number := procPin(); number < len(processors) {
		processors[number].giveLog(l)
	}
	procUnpin()
}

// takeLog returns memory for a record, or nil, having counted the record, where there would be no room in the ring for one
// of that size. It allocates only when more records are being made at once than ever before on this P.
//
//go:norace
func takeLog(size uint32) (l *Log) {
	number := procPin()
	if number >= len(processors) {
		procUnpin()
		atomic.AddUint64(&processors[0].ring.droppedLogs, 1)
		return nil
	}
	own := &processors[number]
	if size != 0 && !own.hasRoomForLog(uint64(size)) {
		atomic.AddUint64(&own.ring.droppedLogs, 1)
		procUnpin()
		return nil
	}
	if own.logCount > 0 {
		own.logCount--
		l = own.logs[own.logCount]
		own.logs[own.logCount] = nil
	}
	procUnpin()
	if l == nil {
		l = new(Log)
	}
	l.used, l.body, l.prefix = logHeadSize, 0, 0
	return l
}

//go:norace
func (own *processor) giveLog(l *Log) {
	if own.logCount < freeLogs {
		own.logs[own.logCount] = l
		own.logCount++
	}
}

//go:norace
func (own *processor) hasRoomForLog(size uint64) bool {
	if own.head+size-own.tail > logShare {
		own.tail = atomic.LoadUint64(&own.ring.tail)
		used := own.head - own.tail
		return used <= logShare && size <= logShare-used
	}
	return true
}

// publishLog copies a finished log record to the P's ring, or counts it.
//
//go:norace
func (own *processor) publishLog(record unsafe.Pointer, size uint64) {
	if !own.hasRoomForLog(size) || !own.copyToRing(record, size) {
		atomic.AddUint64(&own.ring.droppedLogs, 1)
	}
}

//go:norace
func (l *Log) head() *logLayout { return (*logLayout)(unsafe.Pointer(&l.room)) }

//go:norace
func (l *Log) at(offset uint32) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(&l.room), offset) }

//go:norace
func stringPointer(text string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(text)) }

// Time sets the record's own time, ns since 1970.
//
//go:norace
func (l *Log) Time(unixNano int64) {
	if l != nil && unixNano > 0 {
		l.head().time = uint64(unixNano)
	}
}

// ObservedAgo says how many nanoseconds ago the record was first seen, if that was not just now.
//
//go:norace
func (l *Log) ObservedAgo(ago int64) {
	if l == nil {
		return
	}
	if observed := int64(l.head().observed) - ago; observed > 0 {
		l.head().observed = uint64(observed)
	}
}

// Event says that the record is an event of that name.
//
//go:norace
func (l *Log) Event(name string) {
	if l != nil && name != "" {
		l.item(logItemEventName, nil, "", stringPointer(name), uint32(len(name)))
	}
}

// Body adds text to the body, up to LOG_BODY_LIMIT.
//
//go:norace
func (l *Log) Body(text string) {
	if l == nil {
		return
	}
	if room := logBodyLimit - l.body; uint32(len(text)) > room {
		text = text[:wholeCharacters(text, int(room))]
		l.cut()
	}
	l.body += uint32(len(text))
	l.pieces(logItemBody, text)
}

// JSON adds an object, as JSON text from its opening brace on, whose members are attributes.
//
//go:norace
func (l *Log) JSON(object []byte) {
	if l != nil {
		l.pieces(logItemJson, unsafe.String(unsafe.SliceData(object), len(object)))
	}
}

// Omit names a member of such objects that is no attribute.
//
//go:norace
func (l *Log) Omit(name string) {
	if l != nil && name != "" {
		l.item(logItemOmit, nil, "", stringPointer(name), uint32(len(name)))
	}
}

// pieces adds text that may be longer than an item.
//
//go:norace
func (l *Log) pieces(kind uint32, text string) {
	for {
		piece := text
		if len(piece) > logItemLimit {
			piece = piece[:logItemLimit]
		}
		if !l.item(kind, nil, "", stringPointer(piece), uint32(len(piece))) {
			return
		}
		text = text[len(piece):]
		if text == "" {
			return
		}
	}
}

// Str sets a text attribute. The bytes are copied at once.
//
//go:norace
func (l *Log) Str(name, v string) {
	if l != nil {
		l.item(logItemString, l.groups(), name, stringPointer(v), uint32(len(v)))
	}
}

// Bytes is Str for text in a slice.
//
//go:norace
func (l *Log) Bytes(name string, v []byte) {
	if l != nil {
		l.item(logItemString, l.groups(), name, unsafe.Pointer(unsafe.SliceData(v)), uint32(len(v)))
	}
}

// Value sets an attribute to a value as JSON text.
//
//go:norace
func (l *Log) Value(name string, json []byte) {
	if l == nil {
		return
	}
	if len(json) > logItemLimit-logNameLimit-1 { // half a value is none
		l.cut()
		return
	}
	l.item(logItemJson, l.groups(), name, unsafe.Pointer(unsafe.SliceData(json)), uint32(len(json)))
}

// Int sets an integer attribute.
//
//go:norace
func (l *Log) Int(name string, v int64) {
	if l != nil {
		l.item(logItemInt, l.groups(), name, unsafe.Pointer(&v), 8)
	}
}

// Uint sets an integer attribute; one that is larger than OTLP's is text.
//
//go:norace
func (l *Log) Uint(name string, v uint64) {
	if l == nil {
		return
	}
	if int64(v) >= 0 {
		l.Int(name, int64(v))
		return
	}
	var digits [20]byte
	at := len(digits)
	for ; v > 0; v /= 10 {
		at--
		digits[at] = byte('0' + v%10)
	}
	l.Str(name, unsafe.String(&digits[at], len(digits)-at))
}

// Float sets a floating-point attribute.
//
//go:norace
func (l *Log) Float(name string, v float64) {
	if l != nil {
		l.item(logItemFloat, l.groups(), name, unsafe.Pointer(&v), 8)
	}
}

// Bool sets a boolean attribute.
//
//go:norace
func (l *Log) Bool(name string, v bool) {
	if l != nil {
		l.item(logItemBool, l.groups(), name, unsafe.Pointer(&v), 1)
	}
}

// Any sets an attribute to a value of the basic types. False: it is of another one, and there is no attribute yet.
func (l *Log) Any(name string, v any) bool {
	switch v := v.(type) {
	case string:
		l.Str(name, v)
	case bool:
		l.Bool(name, v)
	case int:
		l.Int(name, int64(v))
	case int64:
		l.Int(name, v)
	case int32:
		l.Int(name, int64(v))
	case int16:
		l.Int(name, int64(v))
	case int8:
		l.Int(name, int64(v))
	case uint:
		l.Uint(name, uint64(v))
	case uint64:
		l.Uint(name, v)
	case uint32:
		l.Int(name, int64(v))
	case uint16:
		l.Int(name, int64(v))
	case uint8:
		l.Int(name, int64(v))
	case uintptr:
		l.Uint(name, uint64(v))
	case float64:
		l.Float(name, v)
	case float32:
		l.Float(name, float64(v))
	case error:
		l.Str(name, message(v))
	default:
		return false
	}
	return true
}

// Open begins a group: the names of what follows begin with its own. It returns what Shut needs to end it.
//
//go:norace
func (l *Log) Open(group string) (before uint32) {
	if l == nil {
		return 0
	}
	before = l.prefix
	if group == "" {
		return before
	}
	if l.prefix+uint32(len(group))+1 > logNameLimit {
		l.cut()
		return before
	}
	l.prefix += uint32(copy(l.name[l.prefix:], group))
	l.name[l.prefix] = '.'
	l.prefix++
	return before
}

// Shut ends groups up to the one that Open began.
//
//go:norace
func (l *Log) Shut(before uint32) {
	if l != nil {
		l.prefix = before
	}
}

// Prefix is the groups that are open, each with a dot at its end; it allocates.
//
//go:norace
func (l *Log) Prefix() string {
	if l == nil {
		return ""
	}
	return string(l.name[:l.prefix])
}

// SetPrefix opens the groups of a Prefix.
//
//go:norace
func (l *Log) SetPrefix(prefix string) {
	if l != nil {
		l.prefix = uint32(copy(l.name[:logNameLimit], prefix))
	}
}

// Items is a copy of the attributes so far, for Append; it allocates.
//
//go:norace
func (l *Log) Items() []byte {
	if l == nil || l.used == logHeadSize {
		return nil
	}
	return append([]byte(nil), unsafe.Slice((*byte)(l.at(logHeadSize)), l.used-logHeadSize)...)
}

// Append adds attributes that Items returned.
//
//go:norace
func (l *Log) Append(items []byte) {
	if l == nil || len(items) == 0 {
		return
	}
	if l.used+uint32(len(items)) > logSize {
		l.cut()
		return
	}
	copy(unsafe.Slice((*byte)(l.at(l.used)), len(items)), items)
	l.used += uint32(len(items))
}

//go:norace
func (l *Log) groups() []byte { return l.name[:l.prefix] }

// item adds an item, its text cut where the room ends. False: it was, or there was no room for any of it.
//
//go:norace
func (l *Log) item(kind uint32, groups []byte, name string, data unsafe.Pointer, size uint32) bool {
	whole := true
	if rest := logNameLimit - len(groups); len(name) > rest {
		name = name[:wholeCharacters(name, rest)]
		whole = false
	}
	named := uint32(len(groups) + len(name))
	if limit := uint32(logItemLimit) - named; size > limit {
		size = uint32(wholeCharacters(unsafe.String((*byte)(data), size), int(limit)))
		whole = false
	}
	at := l.used
	if end := at + 4 + (named+size+3)&^3; end > logSize {
		whole = false
		isText := kind != logItemInt && kind != logItemFloat && kind != logItemBool && kind != logItemLine
		if !isText || at+4+named+4 > logSize {
			l.cut()
			return false
		}
		size = uint32(wholeCharacters(unsafe.String((*byte)(data), size), int(logSize-at-4-named)))
	}
	if !whole {
		l.cut()
	}
	end := at + 4 + (named+size+3)&^3
	*(*uint32)(l.at(end - 4)) = 0 // what pads it to 4 bytes
	*(*uint32)(l.at(at)) = named | (kind<<12|named+size)<<16
	to := unsafe.Slice((*byte)(l.at(at+4)), named+size)
	copy(to, groups)
	copy(to[len(groups):], name)
	copy(to[named:], unsafe.Slice((*byte)(data), size))
	l.used = end
	return whole
}

//go:norace
func (l *Log) cut() { l.head().flags |= recordFlagCut }

// wholeCharacters is how many of the first bytes hold whole characters.
//
//go:norace
func wholeCharacters(text string, size int) int {
	if size <= 0 {
		return 0
	}
	if size >= len(text) {
		return len(text)
	}
	for back := 0; back < 4 && size-back > 0; back++ {
		if text[size-back]&0xc0 != 0x80 {
			return size - back
		}
	}
	return size // no UTF-8
}

// Where says where the record was written, by a return address as runtime.Callers gives it.
func (l *Log) Where(pc uintptr) {
	if l == nil || pc == 0 {
		return
	}
	l.place(placeOf(pc))
}

// WhereOutside says that the record was written by the closest caller outside of some packages and those below them, and
// outside of the standard library's log, through which it may have come.
func (l *Log) WhereOutside(paths ...string) {
	if l == nil {
		return
	}
	var pcs [12]uintptr
	count := runtime.Callers(3, pcs[:]) // what is above: Callers, this, and the hook
search:
	for _, pc := range pcs[:count] {
		place := placeOf(pc)
		if place.isIn("log") {
			continue
		}
		for _, path := range paths {
			if place.isIn(path) {
				continue search
			}
		}
		l.place(place)
		return
	}
}

//go:norace
func (l *Log) place(place *place) {
	if place.function != "" {
		l.item(logItemFunction, nil, "", stringPointer(place.function), uint32(len(place.function)))
	}
	if place.file != "" {
		l.item(logItemFile, nil, "", stringPointer(place.file), uint32(len(place.file)))
		l.item(logItemLine, nil, "", unsafe.Pointer(&place.line), 4)
	}
}

// place is where a return address leads to.
type place struct {
	pc       uintptr
	function string
	file     string
	line     uint32
}

// places remembers them: looking one up costs more than all the rest of a record. One that has another's place takes it.
var places [4096]unsafe.Pointer

func placeOf(pc uintptr) *place {
	slot := &places[uint32(uint64(pc)*traceStep>>40)%uint32(len(places))]
	if known := (*place)(atomic.LoadPointer(slot)); known != nil && known.pc == pc {
		return known
	}
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	found := &place{pc: pc, function: frame.Function, file: frame.File, line: uint32(frame.Line)}
	atomic.StorePointer(slot, unsafe.Pointer(found))
	return found
}

func (p *place) isIn(path string) bool {
	if len(p.function) <= len(path) || p.function[:len(path)] != path {
		return false
	}
	return p.function[len(path)] == '.' || p.function[len(path)] == '/'
}

// FunctionAt is the name of the function that a return address, as runtime.Callers gives it, leads to.
func FunctionAt(pc uintptr) string { return placeOf(pc).function }

// A record can pass through several hooks: slog hands it to handlers, which may hand it to another library, which may do
// so again. A word of the goroutine's says which record is on its way, so that it is recorded once.
//
//	0                    none
//	its identity | 1     on its way, not recorded yet
//	its identity | 2     recorded
//	3                    whatever it is, it belongs to a record that is recorded already
const (
	logPending = 1
	logTaken   = 2
	logAll     = 3
)

// identity is the same for texts that are the same place in memory, and never means 0 or logAll.
func identity(message string) uint64 {
	return (uint64(uintptr(stringPointer(message)))*traceStep^uint64(len(message))*0xff51afd7ed558ccd)&^3 | 4
}

// EnterLog says that a record goes to handlers, of which one may take it. What it returns is for LeaveLog.
//
//go:norace
func EnterLog(message string) (before uint64) {
	if !settings.logs {
		return 0
	}
	at := here()
	before = at.log
	if this := identity(message); before != logAll && before&^3 != this {
		at.log = this | logPending
	}
	return before
}

// LeaveLog ends what EnterLog began. True: nobody took the record, it is the caller's to record.
//
//go:norace
func LeaveLog(before uint64, message string) bool {
	if !settings.logs {
		return false
	}
	at, this := here(), identity(message)
	if before == logAll || before&^3 == this {
		return false // an outer one's
	}
	now := at.log
	at.log = before
	return now == this|logPending
}

// TakeLog says whether a record that has arrived is to be recorded here; it then is recorded.
//
//go:norace
func TakeLog(message string) bool {
	if !settings.logs {
		return false
	}
	at := here()
	switch this := identity(message); at.log {
	case logAll, this | logTaken:
		return false
	case this | logPending:
		at.log = this | logTaken
	}
	return true
}

// IsLogPassing says whether a record with this text is on its way from an outer hook, which records it.
//
//go:norace
func IsLogPassing(message string) bool {
	return settings.logs && (here().log == logAll || here().log&^3 == identity(message))
}

// IsLogInside says whether any record is on its way on this goroutine.
//
//go:norace
func IsLogInside() bool { return settings.logs && here().log != 0 }

// HoldLogs lets nothing be recorded on this goroutine until ReleaseLogs gets what it returns: what is written meanwhile is
// another form of a record that is recorded already.
//
//go:norace
func HoldLogs() (before uint64) {
	if !settings.logs {
		return 0
	}
	at := here()
	before, at.log = at.log, logAll
	return before
}

// LogMark is what ReleaseLogs puts back to change nothing.
//
//go:norace
func LogMark() uint64 {
	if !settings.logs {
		return 0
	}
	return here().log
}

// ReleaseLogs ends what HoldLogs began.
//
//go:norace
func ReleaseLogs(before uint64) {
	if settings.logs {
		here().log = before
	}
}
