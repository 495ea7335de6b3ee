package log

import (
	"io"
	"runtime"
	"unsafe"

	tandem_rt "tandem/rt"
)

// Tandem's log pack: lines of the log package as OpenTelemetry log records, where OTEL_LOGS_EXPORTER asks for them, and
// with the ids of the span that they are written in, where TANDEM_LOG_IDS does.

var tandemLogOp = tandem_rt.NewOp("log.log", "tandem/log", tandem_rt.KindInternal, "log")

// tandemOutput sees a line before it is written. What the writer logs while it does is the same line: until ReleaseLogs gets
// what this returns, nothing else is recorded.
func tandemOutput(out io.Writer, line *[]byte, body int, prefix string, pc uintptr, calldepth int) uint64 {
	if !tandem_rt.Logs() && !tandem_rt.LogIDs() {
		return 0
	}
	if pc != 0 || calldepth == 0 { // from slog's default handler, which has recorded it and written the ids
		return tandem_rt.HoldLogs()
	}
	if _, records := out.(interface{ TandemRecords() }); records { // it makes a record of the line, and knows more
		return tandem_rt.LogMark()
	}
	if !tandem_rt.IsLogInside() {
		tandemRecord((*line)[body:len(*line)-1], prefix, calldepth)
	}
	if tandem_rt.LogIDs() {
		tandemIDs(line)
	}
	return tandem_rt.HoldLogs()
}

func tandemRecord(body []byte, prefix string, calldepth int) {
	if !tandem_rt.Logs() {
		return
	}
	var pcs [6]uintptr
	wanted := len(pcs)
	if calldepth > 0 && calldepth < wanted {
		wanted = calldepth // each frame costs
	}
	count := runtime.Callers(4, pcs[:wanted]) // from the function that has called output on
	severity, text := uint8(tandem_rt.SeverityInfo), "INFO"
	if count > 0 {
		severity, text = tandemSeverity(tandem_rt.FunctionAt(pcs[0]))
	}
	log := tandem_rt.StartLog(tandemLogOp, nil, severity, text)
	if log == nil {
		return
	}
	log.Body(prefix)
	if size := len(body); size > 0 && body[size-1] == '\n' { // one more than the one that ends the line
		body = body[:size-1]
	}
	log.Body(unsafe.String(unsafe.SliceData(body), len(body)))
	if calldepth > 0 && calldepth <= count {
		log.Where(pcs[calldepth-1])
	} else {
		log.WhereOutside("log")
	}
	log.Emit()
}

// tandemSeverity tells by the function that was called what becomes of the program.
func tandemSeverity(function string) (uint8, string) {
	dot := len(function) - 1
	for dot >= 0 && function[dot] != '.' {
		dot--
	}
	switch name := function[dot+1:]; {
	case len(name) >= 5 && name[:5] == "Fatal":
		return tandem_rt.SeverityFatal, "FATAL"
	case len(name) >= 5 && name[:5] == "Panic":
		return tandem_rt.SeverityFatal, "PANIC"
	}
	return tandem_rt.SeverityInfo, "INFO"
}

// tandemIDs writes the ids of the span at the line's end.
func tandemIDs(line *[]byte) {
	span := tandem_rt.Closest(nil)
	if span == nil || tandemHasID(*line) {
		return
	}
	var room [tandem_rt.TraceparentSize]byte
	text := span.AppendTraceparent(room[:0]) // it holds all three, each at its place
	whole := append((*line)[:len(*line)-1], " trace_id="...)
	whole = append(whole, text[3:35]...)
	whole = append(whole, " span_id="...)
	whole = append(whole, text[36:52]...)
	whole = append(whole, " trace_flags="...)
	whole = append(whole, text[53:55]...)
	*line = append(whole, '\n')
}

// tandemHasID says whether somebody has written an id already.
func tandemHasID(line []byte) bool {
	const word = "trace_id="
	for at := 0; at+len(word) <= len(line); at++ {
		if string(line[at:at+len(word)]) == word {
			return true
		}
	}
	return false
}
