package zapcore

import (
	"bytes"

	"go.uber.org/zap/buffer"

	tandem_rt "tandem/rt"
)

// Tandem's zap pack: entries that are written inside a span carry its ids, under the names that OpenTelemetry gives them in
// logs outside of OTLP. Whoever has put a trace_id there himself keeps his own. zap knows no context.Context: the span is
// the goroutine's.

const (
	tandemTraceKey = "trace_id"
	tandemSpanKey  = "span_id"
	tandemFlagsKey = "trace_flags"
)

var tandemQuotedTraceKey = []byte(`"trace_id"`)

// tandemWithIDs: the environment may take the ids out (OTEL_GO_DISABLED_INSTRUMENTATIONS).
var tandemWithIDs = tandem_rt.Instrumented("zap.ids", "tandem/go.uber.org/zap")

// tandemIDs writes the ids where nothing has been written of what the logger (context) and the call (fields) have.
func tandemIDs(to *jsonEncoder, context *buffer.Buffer, fields []Field) {
	span := tandem_rt.Closest(nil)
	if span == nil || !tandemWithIDs || tandemHas(fields) || bytes.Contains(context.Bytes(), tandemQuotedTraceKey) {
		return
	}
	var room [tandem_rt.TraceparentSize]byte // a traceparent: it holds all three, each at its place
	text := span.AppendTraceparent(room[:0])
	tandemID(to, tandemTraceKey, text[3:35])
	tandemID(to, tandemSpanKey, text[36:52])
	tandemID(to, tandemFlagsKey, text[53:55])
}

// tandemID writes an id. The encoder's own way looks through function values for what must be escaped: for that the id would
// have to be on the heap.
func tandemID(to *jsonEncoder, key string, id []byte) {
	to.addKey(key)
	to.buf.AppendByte('"')
	to.buf.Write(id)
	to.buf.AppendByte('"')
}

// tandemContext is a copy of an encoder whose text begins with the ids.
func tandemContext(enc *jsonEncoder, fields []Field) *jsonEncoder {
	clone := enc.clone()
	tandemIDs(clone, enc.buf, fields)
	if enc.buf.Len() > 0 {
		clone.addElementSeparator()
		clone.buf.Write(enc.buf.Bytes())
	}
	return clone
}

// tandemFields adds the ids to the fields for a core that does not write with one of zap's own encoders.
func tandemFields(core Core, fields []Field) []Field {
	switch core := core.(type) {
	case *ioCore:
		switch core.enc.(type) {
		case *jsonEncoder, consoleEncoder:
			return fields
		}
	case *hooked:
		return fields // looks at the entry alone
	}
	span := tandem_rt.Closest(nil)
	if span == nil || !tandemWithIDs || tandemHas(fields) {
		return fields
	}
	text := span.Traceparent()
	with := make([]Field, len(fields), len(fields)+3)
	copy(with, fields)
	return append(with,
		Field{Key: tandemTraceKey, Type: StringType, String: text[3:35]},
		Field{Key: tandemSpanKey, Type: StringType, String: text[36:52]},
		Field{Key: tandemFlagsKey, Type: StringType, String: text[53:55]})
}

func tandemHas(fields []Field) bool {
	for index := range fields {
		if fields[index].Key == tandemTraceKey {
			return true
		}
	}
	return false
}
