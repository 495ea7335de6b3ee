package rt

import (
	"errors"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"
)

var opLog = NewOp("test.log", "tandem/test.log", KindInternal, "log")

// logItem is what the agent would read.
type logItem struct {
	kind  uint32
	name  string
	data  string
	value uint64
}

type logRecord struct {
	logLayout
	items []logItem
}

func (r *logRecord) text(kind uint32) (text string) {
	for _, item := range r.items {
		if item.kind == kind {
			text += item.data
		}
	}
	return text
}

func (r *logRecord) find(name string) (logItem, bool) {
	for _, item := range r.items {
		if item.name == name && item.kind <= logItemJson {
			return item, true
		}
	}
	return logItem{}, false
}

func parseLog(t testing.TB, bytes []byte) *logRecord {
	t.Helper()
	result := &logRecord{logLayout: *(*logLayout)(unsafe.Pointer(&bytes[0]))}
	if result.size%8 != 0 || int(result.size) != len(bytes) || result.size > logSize {
		t.Fatalf("record of %d bytes says %d", len(bytes), result.size)
	}
	for at := logHeadSize; at+4 <= result.size; {
		head := *(*uint32)(unsafe.Pointer(&bytes[at]))
		if head == 0 && at+4 == result.size {
			break
		}
		kind, size, named := head>>28, head>>16&itemLimit, head&0xffff
		if kind == 0 || kind > logItemEventName || at+4+size > result.size || named > size {
			t.Fatalf("damaged item %#x at %d of %d", head, at, result.size)
		}
		data := bytes[at+4 : at+4+size]
		next := logItem{kind: kind, name: string(data[:named]), data: string(data[named:])}
		for index := len(next.data) - 1; index >= 0 && len(next.data) <= 8; index-- {
			next.value = next.value<<8 | uint64(next.data[index])
		}
		result.items = append(result.items, next)
		at += 4 + (size+3)&^3
	}
	return result
}

// drainLogs reads all rings.
func drainLogs(t testing.TB) (records []*logRecord) {
	t.Helper()
	for index := range processors {
		own := &processors[index]
		head := atomic.LoadUint64(&own.ring.head)
		for own.ring.tail < head {
			place := unsafe.Add(own.data, own.ring.tail&(ringSize-1))
			size := *(*uint32)(place)
			if (*logLayout)(place).kind == recordLog {
				records = append(records, parseLog(t, append([]byte(nil), unsafe.Slice((*byte)(place), size)...)))
			}
			atomic.StoreUint64(&own.ring.tail, own.ring.tail+uint64(size))
		}
	}
	return records
}

func droppedLogs() (count uint64) {
	for index := range processors {
		count += atomic.LoadUint64(&processors[index].ring.droppedLogs)
	}
	return count
}

// logs switches log records on for one test.
func logs(t testing.TB) {
	t.Helper()
	catchUp()
	before := settings.logs
	settings.logs = true
	t.Cleanup(func() { settings.logs = before; catchUp() })
}

func oneLog(t testing.TB) *logRecord {
	t.Helper()
	records := drainLogs(t)
	if len(records) != 1 {
		t.Fatalf("%d log records instead of one", len(records))
	}
	return records[0]
}

// What is written comes out, with the ids and flags of the span that it was written in.
func TestLogRecord(t *testing.T) {
	logs(t)
	before := nanotime()
	span := StartRemote(opServer, "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-00", "")
	l := StartLog(opLog, nil, SeverityWarn, "WARN")
	l.Time(1234567890)
	l.Body("the ")
	l.Body("body")
	l.Str("text", "größe")
	group := l.Open("group")
	l.Int("int", -7)
	inner := l.Open("inner")
	l.Bool("bool", true)
	l.Shut(inner)
	l.Float("float", 2.5)
	l.Shut(group)
	l.Uint("large", 1<<63+1)
	l.Value("list", []byte("[1,2]"))
	if !l.Any("error", errors.New("no")) || l.Any("struct", struct{}{}) {
		t.Error("any")
	}
	l.WhereOutside("tandem/nowhere")
	l.Emit()
	span.End()
	record := oneLog(t)
	if record.traceID != span.TraceID() || record.spanID != span.SpanID() || record.traceFlags&sampledFlag != 0 {
		t.Errorf("%x %x %d", record.traceID, record.spanID, record.traceFlags)
	}
	if record.severity != 13 || record.time != 1234567890 || record.descriptor != opLog.id || record.flags != 0 {
		t.Errorf("%+v", record.logLayout)
	}
	if int64(record.observed) < before || int64(record.observed) > nanotime() {
		t.Error("seen at another time")
	}
	if record.text(logItemSeverityText) != "WARN" || record.text(logItemBody) != "the body" {
		t.Errorf("%+v", record.items)
	}
	if text, _ := record.find("text"); text.data != "größe" {
		t.Error(text)
	}
	if number, _ := record.find("group.int"); int64(number.value) != -7 {
		t.Error(number)
	}
	if flag, _ := record.find("group.inner.bool"); flag.value != 1 || flag.kind != logItemBool {
		t.Error(flag)
	}
	if number, _ := record.find("group.float"); number.value != 0x4004000000000000 {
		t.Error(number)
	}
	if text, _ := record.find("large"); text.data != "9223372036854775809" {
		t.Error(text)
	}
	if list, _ := record.find("list"); list.data != "[1,2]" || list.kind != logItemJson {
		t.Error(list)
	}
	if text, _ := record.find("error"); text.data != "no" {
		t.Error(text)
	}
	if record.text(logItemFunction) != "testing.tRunner" { // as a hook, it skips what it is woven into
		t.Error(record.items)
	}

	StartLog(opLog, nil, 0, "").Emit()
	if record := oneLog(t); record.traceID != [16]byte{} || record.spanID != [8]byte{} {
		t.Error("outside of spans there are no ids")
	}
}

// An explicit span beats the goroutine's; where logs are not wanted, the operation is off or Tandem itself is at work there
// are none.
func TestWhichLogs(t *testing.T) {
	logs(t)
	current := Start(opInternal, nil)
	other := StartDetached(opServer, Ended([16]byte{1}, [8]byte{2}, true))
	StartLog(opLog, other, 0, "").Emit()
	if record := oneLog(t); record.spanID != other.SpanID() {
		t.Error("the goroutine's")
	}
	opLog.setOff(true)
	if StartLog(opLog, nil, 0, "") != nil {
		t.Error("switched off")
	}
	opLog.setOff(false)
	previous := Ignore()
	if StartLog(opLog, nil, 0, "") != nil {
		t.Error("Tandem's own")
	}
	Restore(previous)
	settings.logs = false
	l := StartLog(opLog, nil, 0, "")
	l.Str("a", "b")
	l.Body("c")
	l.Emit()
	if l != nil || StartLogItems() != nil {
		t.Error("not wanted")
	}
	settings.logs = true
	other.End()
	current.End()
}

func (op *Op) setOff(off bool) {
	if off {
		atomic.StoreUint64(op.word, atomic.LoadUint64(op.word)|op.bit)
	} else {
		atomic.StoreUint64(op.word, atomic.LoadUint64(op.word)&^op.bit)
	}
}

// A record may have been seen before it was handed over, but not before the machine was started.
func TestLogObserved(t *testing.T) {
	logs(t)
	for _, ago := range []int64{1_000_000, -1_000_000, math.MaxInt64} {
		l := StartLog(opLog, nil, 0, "")
		started := int64(l.head().observed)
		l.ObservedAgo(ago)
		l.Emit()
		want := started - ago
		if want < 0 {
			want = started
		}
		if observed := int64(oneLog(t).observed); observed != want {
			t.Errorf("observed at %d instead of %d", observed, want)
		}
	}
	(*Log)(nil).ObservedAgo(1)
}

// Whatever is too long is cut between characters, marked and counted once a record; what comes later is still there.
func TestLogIsBounded(t *testing.T) {
	logs(t)
	before := atomic.LoadUint64(&control.cutLogs)
	long := strings.Repeat("ä", 20000)
	l := StartLog(opLog, nil, 0, "")
	l.Body("x" + long)
	l.Str("long", long)
	l.Str(strings.Repeat("n", 300), "v")
	for depth := 0; depth < 100; depth++ {
		l.Open("deep-group")
	}
	l.Int("n", 1)
	l.Emit()
	record := oneLog(t)
	if record.flags&recordFlagCut == 0 || atomic.LoadUint64(&control.cutLogs) != before+1 {
		t.Error("not marked")
	}
	body := record.text(logItemBody)
	if len(body) > logBodyLimit || len(body) < logBodyLimit-4 || !utf8.ValidString(body) {
		t.Errorf("a body of %d bytes", len(body))
	}
	if text, _ := record.find("long"); len(text.data) < 4000 || !utf8.ValidString(text.data) {
		t.Errorf("an attribute of %d bytes", len(text.data))
	}
	if _, found := record.find(strings.Repeat("n", 255)); !found {
		t.Error("a long name")
	}

	l = StartLog(opLog, nil, 0, "")
	l.JSON([]byte(`{"a":"` + strings.Repeat("y", 40000)))
	l.Int("behind", 1)
	l.Emit()
	record = oneLog(t)
	if json := record.text(logItemJson); record.size > logSize || len(json) < logSize-200 {
		t.Errorf("%d of %d bytes", len(json), record.size)
	}

	for size := 0; size < 70; size++ {
		l = StartLog(opLog, nil, 0, "")
		l.Str("a", strings.Repeat("z", size))
		l.Int("b", int64(size))
		l.Emit()
		record = oneLog(t)
		if b, _ := record.find("b"); b.value != uint64(size) || record.flags != 0 {
			t.Error(size, record)
		}
	}
}

// What many records have in common is made once.
func TestLogItems(t *testing.T) {
	logs(t)
	common := StartLogItems()
	common.Str("service", "cart")
	common.Open("request")
	common.Int("id", 4)
	items, prefix := common.Items(), common.Prefix()
	common.Discard()
	l := StartLog(opLog, nil, SeverityInfo, "INFO")
	l.Body("b")
	l.Append(items)
	l.SetPrefix(prefix)
	l.Str("path", "/")
	l.Emit()
	record := oneLog(t)
	for _, name := range []string{"service", "request.id", "request.path"} {
		if _, found := record.find(name); !found {
			t.Errorf("%s is not in %+v", name, record.items)
		}
	}
}

// A ring that nobody reads takes log records up to three quarters, so that spans still find room; nothing waits, all that
// is lost is counted.
func TestFullRingOfLogs(t *testing.T) {
	logs(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	drain(t)
	lostBefore, droppedSpans := droppedLogs(), dropped()
	const count = 5000
	started := time.Now()
	for number := 0; number < count; number++ {
		l := StartLog(opLog, nil, 0, "")
		l.Body(strings.Repeat("x", 1000))
		l.Emit()
	}
	if spent := time.Since(started); spent > 5*time.Second {
		t.Errorf("a full ring costs %v", spent)
	}
	span := Start(opInternal, nil)
	span.End()
	if dropped() != droppedSpans {
		t.Error("a span was lost")
	}
	kept, lost := len(drainLogs(t)), droppedLogs()-lostBefore
	if uint64(kept)+lost != count || kept < ringSize*6/10/1100 || kept > ringSize*3/4/1000 {
		t.Errorf("%d kept, %d lost", kept, lost)
	}
}

func TestLogAllocations(t *testing.T) {
	logs(t)
	span := Start(opServer, nil)
	defer span.End()
	err := error(&fixedError{})
	work := func() {
		l := StartLog(opLog, nil, SeverityInfo, "INFO")
		l.Body("a message")
		l.WhereOutside("tandem/nowhere")
		l.Str("key", "value")
		l.Shut(l.Open("group"))
		l.Int("number", 5)
		l.Any("error", err)
		l.Emit()
		catchUp()
	}
	work()
	if allocations := testing.AllocsPerRun(1000, work); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

type fixedError struct{}

func (*fixedError) Error() string { return "fixed" }

// A record that passes through several hooks is taken once, by the innermost that knows it, else by the outermost; one
// inside of another's that is a different one is taken, too.
func TestLogIsTakenOnce(t *testing.T) {
	logs(t)
	message, other := strings.Clone("message"), strings.Clone("another")
	if !TakeLog(message) || here().log != 0 {
		t.Error("alone")
	}
	before := EnterLog(message)
	if !IsLogPassing(message) || IsLogPassing(other) || !LeaveLog(before, message) {
		t.Error("nobody took it")
	}
	before = EnterLog(message)
	if !TakeLog(message) || TakeLog(message) || !TakeLog(other) || LeaveLog(before, message) || here().log != 0 {
		t.Error("taken")
	}
	before = EnterLog(message)
	inner := EnterLog(message)
	if !TakeLog(message) || LeaveLog(inner, message) || LeaveLog(before, message) {
		t.Error("handed on to another logger")
	}
	before = EnterLog(message)
	inner = EnterLog(other)
	if !LeaveLog(inner, other) || !LeaveLog(before, message) || here().log != 0 {
		t.Error("two records")
	}
	held := HoldLogs()
	before = EnterLog(message)
	if TakeLog(message) || TakeLog(other) || LeaveLog(before, message) {
		t.Error("held")
	}
	ReleaseLogs(held)
	if here().log != 0 {
		t.Error("left")
	}
}

func TestLists(t *testing.T) {
	for list, want := range map[string]bool{"": false, "otlp": true, "console, otlp": true, "otlp,": true, "none": false, "otlps": false} {
		if lists(list, "otlp") != want {
			t.Error(list)
		}
	}
}

func BenchmarkLog(b *testing.B) {
	logs(b)
	measureSpan(b, func() {
		l := StartLog(opLog, nil, SeverityInfo, "INFO")
		l.Body("the request was answered")
		l.Str("http.route", "/api/v1/items/{id}")
		l.Int("status", 200)
		l.Emit()
	})
}
