package log

import (
	"context"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	tandem_rt "tandem/rt"
)

// TandemLogger records what a logger of the global provider is given, for as long as the program has not set a provider.
type TandemLogger struct {
	operation atomic.Pointer[tandem_rt.Op]
}

// tandemAny is for loggers that came too late for a place in the table.
var tandemAny = tandem_rt.NewManualOp("", "", "", tandem_rt.KindInternal)

// TandemEnabled says whether records are wanted.
func (l *TandemLogger) TandemEnabled() bool {
	return tandem_rt.Enabled() && tandem_rt.Logs() && !tandem_rt.Muted()
}

// TandemEmit records a record. One that a bridge made of a library's is not recorded as the library's as well: the bridge
// was given all of it, what With added included.
func (l *TandemLogger) TandemEmit(ctx context.Context, name string, options []LoggerOption, record *Record) {
	if !tandem_rt.Logs() {
		return
	}
	body := record.Body()
	isText := tandemKind(&body) == tandemString
	message := ""
	if isText {
		message = body.AsString()
	}
	if !tandem_rt.TakeLog(message) {
		return
	}
	var explicit *tandem_rt.Span
	if ctx != nil {
		explicit = tandem_rt.FromContext(ctx)
	}
	severity := min(max(record.Severity(), 0), SeverityFatal4)
	to := tandem_rt.StartLog(l.op(name, options), explicit, uint8(severity), record.SeverityText())
	if to == nil {
		return
	}
	if when := record.Timestamp(); !when.IsZero() {
		to.Time(when.UnixNano())
	}
	if when := record.ObservedTimestamp(); !when.IsZero() {
		to.ObservedAgo(int64(time.Since(when)))
	}
	if isText {
		to.Body(message)
	} else if tandemKind(&body) != tandemEmpty {
		to.Body(tandemText(&body))
	}
	writer := tandemWriter{log: to, span: tandem_rt.Closest(explicit)}
	writer.attributes(record)
	if !writer.hasPlace {
		to.WhereOutside("go.opentelemetry.io/otel", "go.opentelemetry.io/contrib/bridges", "go.uber.org/zap", "github.com/sirupsen/logrus")
	}
	to.Event(record.tandemEvent())
	if err := record.tandemError(); err != nil && !writer.hasException {
		writer.exception(err)
	}
	to.Emit()
}

// op is the logger's operation, which is its scope.
func (l *TandemLogger) op(name string, options []LoggerOption) *tandem_rt.Op {
	if op := l.operation.Load(); op != nil {
		return op
	}
	config := NewLoggerConfig(options...)
	op := tandem_rt.NewManualOp(name, config.InstrumentationVersion(), config.SchemaURL(), tandem_rt.KindInternal)
	if op == nil {
		op = tandemAny
	}
	l.operation.Store(op)
	return op
}

// tandemWriter writes attributes to a log record.
type tandemWriter struct {
	log          *tandem_rt.Log
	span         *tandem_rt.Span // whose ids are no attributes
	hasPlace     bool            // the place in the code is among them
	hasException bool
}

func (w *tandemWriter) attributes(record *Record) {
	record.WalkAttributes(func(attribute tandemKeyValue) bool {
		switch string(attribute.Key) {
		case "":
			return true
		case "code.function.name", "code.file.path", "code.function", "code.filepath":
			w.hasPlace = true
		case "exception.type", "exception.message":
			w.hasException = true
		}
		w.attribute(string(attribute.Key), &attribute.Value, 0)
		return true
	})
}

// isID says whether an attribute is an id that a library's pack has put there: the record has a place for it.
func (w *tandemWriter) isID(key, value string) bool {
	if w.span == nil {
		return false
	}
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

// exception describes an error. Code of others does: where it panics, that is missing.
func (w *tandemWriter) exception(err error) {
	defer func() { recover() }()
	kind := reflect.TypeOf(err)
	name := kind.String()
	if kind.PkgPath() != "" && kind.Name() != "" {
		name = fmt.Sprintf("%s.%s", kind.PkgPath(), kind.Name())
	}
	w.log.Str("exception.type", name)
	w.log.Str("exception.message", err.Error())
}
