package rt

import (
	"sync/atomic"
	"unsafe"
)

// The program itself as a span, when whoever started it has put a trace into its environment, or asks for it
// (TANDEM_ENABLE=process): TRACEPARENT, TRACESTATE and
// BAGGAGE, or what else OTEL_PROPAGATORS says, as OpenTelemetry's "environment variables as context propagation carriers" has it. The attributes are those of the semantic
// conventions for command-line programs. The span begins with the program, is current in main and in what that starts, and
// ends when main returns or os.Exit is called; a program that is killed leaves it unfinished.

var (
	processSpan        *Span
	keyProcessExitCode = NewKey("process.exit.code")
	// An initialiser, so that goroutines that packages start when they are initialised belong to the span.
	_ = startProcess()
)

// inherited is what the environment held when the program started, by header; nothing changes it later.
var inherited [len(headers)]string

// Inherited is what the variable of a header was when the program started.
func Inherited(header Header) string {
	for index := range headers {
		if headers[index] == header {
			return inherited[index]
		}
	}
	return ""
}

// startProcess begins the program's span, in the goroutine that will run main.
func startProcess() bool {
	if memory == nil {
		return false
	}
	var in Incoming
	for index := range headers {
		if inherited[index] != "" {
			in.Catch(headers[index].Lower, inherited[index:index+1])
		}
	}
	var known parent
	if _, found := in.parent(&known); !found && !asked(settings.enabledOps, "process") && !asked(settings.moreOps, "process") {
		return false
	}
	op := NewOp("process", "tandem/process", KindInternal, "{process.executable.name}")
	span := StartIncoming(op, &in)
	if span == nil {
		return false
	}
	if name := executableName(); name != "" {
		span.Str(NewKey("process.executable.name"), name)
	}
	span.Int(NewKey("process.pid"), int64(processID()))
	processSpan = span
	watchExit()
	return true
}

// atExit is what happens when the program ends by itself.
var atExit struct {
	watched uint32
	last    func()
}

// OnExit has f called when the program ends by itself, once all spans that its end ends have ended. It is for the
// initialiser of one package.
func OnExit(f func()) {
	atExit.last = f
	watchExit()
}

func watchExit() {
	if atomic.CompareAndSwapUint32(&atExit.watched, 0, 1) {
		onExit(endProgram)
	}
}

// lastSpan is what EndWithProgram was given and has not ended.
var lastSpan unsafe.Pointer

// EndWithProgram has a span end with the program if it has not ended before, with the program's exit code: for what may be what
// ends it. Only the last one given does. EndedBefore must be called before the span is ended otherwise.
func EndWithProgram(s *Span) {
	if s == nil {
		return
	}
	atomic.StorePointer(&lastSpan, unsafe.Pointer(s.Capture()))
	watchExit()
}

// EndedBefore says that a span that was given to EndWithProgram is about to end.
func EndedBefore(s *Span) {
	atomic.CompareAndSwapPointer(&lastSpan, unsafe.Pointer(s), nil)
}

// endProgram is run by the goroutine that ends the program.
func endProgram() {
	if last := (*Span)(atomic.SwapPointer(&lastSpan, nil)); last != nil {
		endWith(last)
	}
	if processSpan != nil {
		endWith(processSpan)
	}
	if atExit.last != nil {
		atExit.last()
	}
}

// endWith ends a span with the program.
func endWith(span *Span) {
	code := int64(here().exit)
	span.Int(keyProcessExitCode, code)
	if code != 0 {
		span.SetError(string(appendNumber(nil, int(code))), "")
	}
	span.End()
}
