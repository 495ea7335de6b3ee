package slog

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unsafe"

	tandem_rt "tandem/rt"
)

// Tandem's log/slog pack: records as OpenTelemetry log records, where OTEL_LOGS_EXPORTER asks for them.
//
// A record is recorded where one of Go's own handlers writes it, in its last form; where none does, by the Logger itself,
// after its handler has had it. Handlers of Go's own remember what WithAttrs and WithGroup gave them, Loggers what With and
// WithGroup did.

var tandemLogOp = tandem_rt.NewOp("log/slog.log", "tandem/log/slog", tandem_rt.KindInternal, "log")

// tandemCommon is what all records of a handler or logger have: attributes, ready to be copied, and open groups.
type tandemCommon struct {
	items  []byte
	prefix string
}

// with is the same with more attributes.
func (c tandemCommon) with(attrs []Attr, replace func([]string, Attr) Attr, groups []string) tandemCommon {
	writer := tandemWriter{log: c.reopen(), replace: replace, groups: groups}
	writer.attrs(attrs)
	return c.close(writer.log)
}

// group is the same with another group open.
func (c tandemCommon) group(name string) tandemCommon {
	log := c.reopen()
	log.Open(name)
	return c.close(log)
}

func (c tandemCommon) reopen() *tandem_rt.Log {
	log := tandem_rt.StartLogItems()
	log.Append(c.items)
	log.SetPrefix(c.prefix)
	return log
}

func (c tandemCommon) close(log *tandem_rt.Log) tandemCommon {
	if log == nil {
		return c
	}
	c = tandemCommon{items: log.Items(), prefix: log.Prefix()}
	log.Discard()
	return c
}

// tandemLoggerWith remembers the attributes for records that no handler of Go's own writes.
func tandemLoggerWith(l *Logger, attrs []Attr) []Attr {
	if tandem_rt.Logs() && !tandemIsOwn(l.handler) {
		l.tandem = l.tandem.with(attrs, nil, nil)
	}
	return attrs
}

func tandemLoggerGroup(l *Logger, name string) string {
	if tandem_rt.Logs() && !tandemIsOwn(l.handler) {
		l.tandem = l.tandem.group(name)
	}
	return name
}

// tandemIsOwn says whether a handler is one of Go's own, which remembers by itself.
func tandemIsOwn(handler Handler) bool {
	switch handler.(type) {
	case *JSONHandler, *TextHandler, *defaultHandler:
		return true
	}
	return false
}

func tandemHandlerWith(from, to *commonHandler, attrs []Attr) {
	if tandem_rt.Logs() {
		to.tandem = from.tandem.with(attrs, from.opts.ReplaceAttr, from.groups)
	}
}

func tandemHandlerGroup(from, to *commonHandler, name string) {
	if tandem_rt.Logs() {
		to.tandem = from.tandem.group(name)
	}
}

// tandemEnter says that a Logger's record goes to its handler.
func tandemEnter(record *Record) uint64 {
	if !tandem_rt.Logs() {
		return 0
	}
	record.tandemOfLogger = true
	return tandem_rt.EnterLog(record.Message)
}

// tandemLeave records what no handler of Go's own has.
func tandemLeave(ctx context.Context, l *Logger, record *Record, before uint64) {
	if tandem_rt.Logs() && tandem_rt.LeaveLog(before, record.Message) {
		tandemRecord(ctx, record, l.tandem, nil, nil)
	}
}

// tandemHandle records what a handler of Go's own writes. A Logger's record that comes on another goroutine, or later, has
// been recorded by the Logger.
func tandemHandle(ctx context.Context, h *commonHandler, record *Record) {
	if !tandem_rt.Logs() || record.tandemOfLogger && !tandem_rt.IsLogPassing(record.Message) {
		return
	}
	if tandem_rt.TakeLog(record.Message) {
		tandemRecord(ctx, record, h.tandem, h.opts.ReplaceAttr, h.groups)
	}
}

func tandemRecord(ctx context.Context, record *Record, common tandemCommon, replace func([]string, Attr) Attr, groups []string) {
	var span *tandem_rt.Span
	if ctx != nil {
		span = tandem_rt.FromContext(ctx)
	}
	var room [32]byte
	log := tandem_rt.StartLog(tandemLogOp, span, tandemSeverity(record.Level), tandemLevel(record.Level, &room))
	if log == nil {
		return
	}
	if !record.Time.IsZero() {
		log.Time(record.Time.UnixNano())
	}
	if replace == nil {
		log.Body(record.Message)
	} else {
		tandemBody(log, replace, record.Message)
	}
	if record.PC != 0 {
		log.Where(record.PC)
	} else {
		log.WhereOutside("log")
	}
	log.Append(common.items)
	log.SetPrefix(common.prefix)
	writer := tandemWriter{log: log, span: tandem_rt.Closest(span), replace: replace, groups: groups}
	writer.attrs(record.front[:record.nFront])
	writer.attrs(record.back)
	log.Emit()
}

// tandemBody writes the message as the handler's ReplaceAttr leaves it: it may be there to hide something.
func tandemBody(log *tandem_rt.Log, replace func([]string, Attr) Attr, message string) {
	defer func() { recover() }()
	log.Body(replace(nil, String(MessageKey, message)).Value.String())
}

// TandemRecords tells the log package that what it writes here becomes records of slog's.
func (*handlerWriter) TandemRecords() {}

// tandemSeverity is OpenTelemetry's number for a level: the four that have names lie as far apart in both.
func tandemSeverity(level Level) uint8 {
	switch severity := level + tandem_rt.SeverityInfo; {
	case severity < 1:
		return 1
	case severity > 24:
		return 24
	default:
		return uint8(severity)
	}
}

// tandemLevel is level.String() without allocating.
func tandemLevel(level Level, room *[32]byte) string {
	name, above := "ERROR", level-LevelError
	switch {
	case level < LevelInfo:
		name, above = "DEBUG", level-LevelDebug
	case level < LevelWarn:
		name, above = "INFO", level-LevelInfo
	case level < LevelError:
		name, above = "WARN", level-LevelWarn
	}
	if above == 0 {
		return name
	}
	text := append(room[:0], name...)
	if above > 0 {
		text = append(text, '+')
	}
	text = strconv.AppendInt(text, int64(above), 10)
	return unsafe.String(unsafe.SliceData(text), len(text))
}

// tandemWriter writes attributes to a log record.
type tandemWriter struct {
	log     *tandem_rt.Log
	span    *tandem_rt.Span // whose ids are no attributes
	replace func([]string, Attr) Attr
	groups  []string // that are open; only kept for replace
}

func (w *tandemWriter) attrs(attrs []Attr) {
	if w.log == nil {
		return
	}
	for index := range attrs {
		w.attr(attrs[index], 0)
	}
}

// tandemDeepest is where groups in groups end: a LogValuer can make them without end.
const tandemDeepest = 16

func (w *tandemWriter) attr(attr Attr, depth int) {
	if depth > tandemDeepest || attr.Value.Kind() == KindLogValuer {
		if depth > tandemDeepest {
			return
		}
		attr.Value = attr.Value.Resolve()
	}
	if w.replace != nil && attr.Value.Kind() != KindGroup {
		attr = w.replaced(attr)
	}
	log, value := w.log, &attr.Value
	switch value.Kind() {
	case KindString:
		if w.span == nil || !w.isID(attr.Key, value.str()) {
			log.Str(attr.Key, value.str())
		}
	case KindInt64:
		log.Int(attr.Key, int64(value.num))
	case KindUint64:
		log.Uint(attr.Key, value.num)
	case KindFloat64:
		log.Float(attr.Key, value.float())
	case KindBool:
		log.Bool(attr.Key, value.bool())
	case KindDuration:
		log.Int(attr.Key, int64(value.num))
	case KindTime:
		log.Int(attr.Key, value.Time().UnixNano())
	case KindGroup:
		before, groups := log.Open(attr.Key), w.groups // without a name its members belong to what is around
		if w.replace != nil && attr.Key != "" {
			w.groups = append(groups[:len(groups):len(groups)], attr.Key)
		}
		members := value.group()
		for index := range members {
			w.attr(members[index], depth+1)
		}
		log.Shut(before)
		w.groups = groups
	default:
		if attr.Key != "" || value.any != nil { // the zero Attr is none
			tandemAny(log, attr.Key, value.any)
		}
	}
}

// replaced is an attribute as the handler's ReplaceAttr leaves it. Where that panics, which the handler's own call does, too,
// there is none.
func (w *tandemWriter) replaced(attr Attr) (replaced Attr) {
	defer func() {
		if recover() != nil {
			replaced = Attr{}
		}
	}()
	replaced = w.replace(w.groups, attr)
	replaced.Value = replaced.Value.Resolve()
	return replaced
}

// isID says whether an attribute is an id that the pack itself has put there: the record has a place for it.
func (w *tandemWriter) isID(key, value string) bool {
	var room [tandem_rt.TraceparentSize]byte
	switch key {
	case "trace_id":
		return value == string(w.span.AppendTraceparent(room[:0])[3:35])
	case "span_id":
		return value == string(w.span.AppendTraceparent(room[:0])[36:52])
	case "trace_flags":
		return value == string(w.span.AppendTraceparent(room[:0])[53:55])
	}
	return false
}

// tandemAny writes a value of any type, as Go's JSON handler does. Code of others makes it: where it panics, there is no
// such attribute.
func tandemAny(log *tandem_rt.Log, key string, value any) {
	defer func() { recover() }()
	switch value := value.(type) {
	case nil:
		return
	case time.Duration:
		log.Int(key, int64(value))
		return
	case time.Time:
		log.Int(key, value.UnixNano())
		return
	case *Source:
		if value == nil {
			return
		}
	}
	if log.Any(key, value) {
		return
	}
	if text, err := json.Marshal(value); err == nil {
		log.Value(key, text)
		return
	}
	var room [256]byte
	text := fmt.Appendf(room[:0], "%+v", value)
	log.Str(key, unsafe.String(unsafe.SliceData(text), len(text)))
}
