package zapcore

import (
	"encoding/base64"
	"fmt"
	"time"

	tandem_rt "tandem/rt"
)

// Tandem's zap pack: entries as OpenTelemetry log records, where OTEL_LOGS_EXPORTER asks for them. An entry is recorded
// once, whatever number of cores writes it. Cores remember what With gave them.

var tandemLogOp = tandem_rt.NewOp("zap.log", "tandem/go.uber.org/zap", tandem_rt.KindInternal, "log")

// tandemCommon is what all records of a core have: attributes, ready to be copied, and open namespaces.
type tandemCommon struct {
	items  []byte
	prefix string
}

func tandemWith(from, to *ioCore, fields []Field) {
	to.tandem = from.tandem
	log := tandem_rt.StartLogItems()
	if log == nil {
		return
	}
	log.Append(from.tandem.items)
	log.SetPrefix(from.tandem.prefix)
	if tandemAdd(log, fields) {
		to.tandem = tandemCommon{items: log.Items(), prefix: log.Prefix()}
	}
	log.Discard()
}

// tandemEnter says that an entry goes to its cores.
func tandemEnter(entry *Entry) (mark uint64, same *Entry) {
	return tandem_rt.EnterLog(entry.Message), entry
}

// tandemLeave records an entry that no core has.
func tandemLeave(mark uint64, cores []Core, entry *Entry, fields []Field) {
	if !tandem_rt.LeaveLog(mark, entry.Message) || len(cores) == 0 {
		return
	}
	severity := tandemSeverity(entry.Level)
	log := tandem_rt.StartLog(tandemLogOp, nil, severity, entry.Level.String())
	if log == nil {
		return
	}
	if !entry.Time.IsZero() {
		log.Time(entry.Time.UnixNano())
	}
	log.Body(entry.Message)
	if entry.Caller.Defined && entry.Caller.PC != 0 {
		log.Where(entry.Caller.PC + 1) // it is the call itself, not where that returns to
	} else {
		log.WhereOutside("go.uber.org/zap")
	}
	if entry.LoggerName != "" {
		log.Str("logger", entry.LoggerName)
	}
	if entry.Stack != "" {
		log.Str("code.stacktrace", entry.Stack)
	}
	for index := range cores {
		if core, found := cores[index].(*ioCore); found {
			log.Append(core.tandem.items)
			log.SetPrefix(core.tandem.prefix)
			break
		}
	}
	tandemAdd(log, fields)
	log.Emit()
}

// tandemAdd adds fields. Code of others makes some of them: where it panics, which the core sees as well, the rest is
// missing.
func tandemAdd(log *tandem_rt.Log, fields []Field) (whole bool) {
	defer func() { recover() }()
	for index := range fields {
		fields[index].AddTo((*tandemEncoder)(log))
	}
	return true
}

// tandemSeverity is OpenTelemetry's number for a level.
func tandemSeverity(level Level) uint8 {
	switch {
	case level < DebugLevel:
		return tandem_rt.SeverityTrace
	case level > FatalLevel:
		return tandem_rt.SeverityFatal + 3
	}
	return [...]uint8{
		tandem_rt.SeverityDebug, tandem_rt.SeverityInfo, tandem_rt.SeverityWarn, tandem_rt.SeverityError,
		tandem_rt.SeverityFatal, tandem_rt.SeverityFatal + 1, tandem_rt.SeverityFatal + 2,
	}[level-DebugLevel]
}

// tandemEncoder is a record seen as zap's ObjectEncoder.
type tandemEncoder tandem_rt.Log

func (e *tandemEncoder) log() *tandem_rt.Log { return (*tandem_rt.Log)(e) }

func (e *tandemEncoder) AddBool(key string, v bool)           { e.log().Bool(key, v) }
func (e *tandemEncoder) AddFloat64(key string, v float64)     { e.log().Float(key, v) }
func (e *tandemEncoder) AddFloat32(key string, v float32)     { e.log().Float(key, float64(v)) }
func (e *tandemEncoder) AddInt(key string, v int)             { e.log().Int(key, int64(v)) }
func (e *tandemEncoder) AddInt64(key string, v int64)         { e.log().Int(key, v) }
func (e *tandemEncoder) AddInt32(key string, v int32)         { e.log().Int(key, int64(v)) }
func (e *tandemEncoder) AddInt16(key string, v int16)         { e.log().Int(key, int64(v)) }
func (e *tandemEncoder) AddInt8(key string, v int8)           { e.log().Int(key, int64(v)) }
func (e *tandemEncoder) AddUint(key string, v uint)           { e.log().Uint(key, uint64(v)) }
func (e *tandemEncoder) AddUint64(key string, v uint64)       { e.log().Uint(key, v) }
func (e *tandemEncoder) AddUint32(key string, v uint32)       { e.log().Int(key, int64(v)) }
func (e *tandemEncoder) AddUint16(key string, v uint16)       { e.log().Int(key, int64(v)) }
func (e *tandemEncoder) AddUint8(key string, v uint8)         { e.log().Int(key, int64(v)) }
func (e *tandemEncoder) AddUintptr(key string, v uintptr)     { e.log().Uint(key, uint64(v)) }
func (e *tandemEncoder) AddString(key, v string)              { e.log().Str(key, v) }
func (e *tandemEncoder) AddTime(key string, v time.Time)      { e.log().Int(key, v.UnixNano()) }
func (e *tandemEncoder) AddComplex64(key string, v complex64) { e.AddComplex128(key, complex128(v)) }
func (e *tandemEncoder) OpenNamespace(key string)             { e.log().Open(key) }

func (e *tandemEncoder) AddDuration(key string, v time.Duration) { e.log().Int(key, int64(v)) }

func (e *tandemEncoder) AddByteString(key string, v []byte) {
	e.log().Bytes(key, v)
}

func (e *tandemEncoder) AddComplex128(key string, v complex128) {
	e.log().Str(key, fmt.Sprint(v))
}

func (e *tandemEncoder) AddBinary(key string, v []byte) {
	e.log().Str(key, base64.StdEncoding.EncodeToString(v))
}

func (e *tandemEncoder) AddObject(key string, object ObjectMarshaler) error {
	before := e.log().Open(key)
	err := object.MarshalLogObject(e)
	e.log().Shut(before)
	return err
}

// Arrays, and what only reflection knows, are read from JSON by the agent.

var tandemJSON = NewJSONEncoder(EncoderConfig{EncodeTime: EpochNanosTimeEncoder, EncodeDuration: NanosDurationEncoder}).(*jsonEncoder)

func (e *tandemEncoder) AddArray(key string, array ArrayMarshaler) error {
	scratch := tandemJSON.clone()
	err := scratch.AppendArray(array)
	e.log().Value(key, scratch.buf.Bytes())
	scratch.buf.Free()
	putJSONEncoder(scratch)
	return err
}

func (e *tandemEncoder) AddReflected(key string, value interface{}) error {
	if value == nil || e.log().Any(key, value) {
		return nil
	}
	scratch := tandemJSON.clone()
	err := scratch.AppendReflected(value)
	if err == nil {
		e.log().Value(key, scratch.buf.Bytes())
	}
	scratch.buf.Free()
	putJSONEncoder(scratch)
	return err
}
