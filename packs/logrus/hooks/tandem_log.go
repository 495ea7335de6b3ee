package logrus

import (
	"encoding/json"
	"fmt"
	"time"

	tandem_rt "tandem/rt"
)

// Tandem's logrus pack: entries as OpenTelemetry log records, where OTEL_LOGS_EXPORTER asks for them.

var tandemLogOp = tandem_rt.NewOp("logrus.log", "tandem/github.com/sirupsen/logrus", tandem_rt.KindInternal, "log")

// tandemLeave records an entry that no hook has, nor somebody further out. Hooks may have changed its message.
func tandemLeave(mark uint64, message string, entry *Entry) {
	if tandem_rt.LeaveLog(mark, message) {
		tandemRecord(entry)
	}
}

// tandemLog records an entry unless somebody further out does.
func tandemLog(entry *Entry) {
	if tandem_rt.Logs() && !tandem_rt.IsLogPassing(entry.Message) {
		tandemRecord(entry)
	}
}

func tandemRecord(entry *Entry) {
	var span *tandem_rt.Span
	if entry.Context != nil {
		span = tandem_rt.FromContext(entry.Context)
	}
	severity, text := tandemSeverity(entry.Level)
	log := tandem_rt.StartLog(tandemLogOp, span, severity, text)
	if log == nil {
		return
	}
	if !entry.Time.IsZero() {
		log.Time(entry.Time.UnixNano())
	}
	log.Body(entry.Message)
	if entry.Caller != nil && entry.Caller.PC != 0 {
		log.Where(entry.Caller.PC + 1) // it is the call itself, not where that returns to
	} else {
		log.WhereOutside("github.com/sirupsen/logrus")
	}
	// The ids of the span have places of their own; an id of the user's is an attribute.
	hasIDs := false
	if span = tandem_rt.Closest(span); span != nil {
		var room [tandem_rt.TraceparentSize]byte
		id, _ := entry.Data["trace_id"].(string)
		hasIDs = id == string(span.AppendTraceparent(room[:0])[3:35])
	}
	for key, value := range entry.Data {
		if hasIDs && (key == "trace_id" || key == "span_id" || key == "trace_flags") {
			continue
		}
		tandemAny(log, key, value)
	}
	log.Emit()
}

// tandemSeverity is OpenTelemetry's number for a level, and logrus's name for it.
func tandemSeverity(level Level) (uint8, string) {
	switch level {
	case PanicLevel:
		return tandem_rt.SeverityFatal + 1, "panic"
	case FatalLevel:
		return tandem_rt.SeverityFatal, "fatal"
	case ErrorLevel:
		return tandem_rt.SeverityError, "error"
	case WarnLevel:
		return tandem_rt.SeverityWarn, "warning"
	case InfoLevel:
		return tandem_rt.SeverityInfo, "info"
	case DebugLevel:
		return tandem_rt.SeverityDebug, "debug"
	}
	return tandem_rt.SeverityTrace, "trace"
}

// tandemAny writes a value of any type, as logrus's JSON formatter does. Code of others makes it: where it panics, there is
// no such attribute.
func tandemAny(log *tandem_rt.Log, key string, value interface{}) {
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
	}
	if log.Any(key, value) {
		return
	}
	if text, err := json.Marshal(value); err == nil {
		log.Value(key, text)
		return
	}
	log.Str(key, fmt.Sprintf("%+v", value))
}
