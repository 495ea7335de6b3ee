package standalone

import (
	"os"
	"strings"
	"sync"
	"time"

	"tandem/rt"
)

const (
	// How often the rings are looked at: when they are nearly empty, and when they fill fast.
	idlePause = 100 * time.Millisecond
	busyPause = 2 * time.Millisecond
	// How often it is looked whether an agent is still there.
	agentPause = time.Second
)

// exporter takes records out of the rings and sends them.
type exporter struct {
	lock  sync.Mutex
	stop  stop
	spans *lane // nil: nobody wants them
	logs  *lane
	lanes []*lane // those that there are

	spanEncoder *Encoder
	logEncoder  *LogEncoder
	atEnd       bool
}

// An initialiser, so that also what packages do before main is sent.
var running = start()

// start begins to export where the environment asks for it.
func start() *exporter {
	if !rt.Reading() || isTest(os.Args) {
		return nil
	}
	e := newExporter(os.Getenv)
	if e == nil {
		return nil
	}
	rt.OnExit(e.flush)
	e.startMuted(e.collect)
	for _, lane := range e.lanes {
		e.startMuted(lane.send)
	}
	e.watchSignals()
	return e
}

// isTest says whether this is a binary of `go test`: those never export, whatever the environment is made for.
func isTest(arguments []string) bool {
	return len(arguments) > 0 && (strings.HasSuffix(arguments[0], ".test") || strings.HasSuffix(arguments[0], ".test.exe"))
}

// newExporter returns nil where nobody asks for anything.
func newExporter(getenv func(string) string) *exporter {
	traces, logs := readConfig(getenv, signalTraces), readConfig(getenv, signalLogs)
	if traces == nil && logs == nil {
		return nil
	}
	e := &exporter{stop: stop{closing: make(chan struct{}), done: make(chan struct{}), progress: make(chan struct{}, 1)}}
	if traces != nil {
		e.spanEncoder = NewEncoder(traces.json, getenv)
		e.spanEncoder.limits = traces.limits
		e.spans = newLane(traces, &e.stop, &e.lock)
		e.spans.encoder = e.spanEncoder
		e.lanes = append(e.lanes, e.spans)
	}
	if logs != nil {
		if traces != nil {
			logs.warnings = without(logs.warnings, traces.warnings)
		}
		e.logEncoder = NewLogEncoder(logs.json, getenv)
		e.logs = newLane(logs, &e.stop, &e.lock)
		e.logs.encoder = e.logEncoder
		e.lanes = append(e.lanes, e.logs)
	}
	return e
}

// without takes out what is said already.
func without(texts, said []string) (left []string) {
	for _, text := range texts {
		isNew := true
		for _, other := range said {
			isNew = isNew && text != other
		}
		if isNew {
			left = append(left, text)
		}
	}
	return left
}

// startMuted starts a goroutine of ours: it inherits no span, and neither it nor what it starts is traced.
func (e *exporter) startMuted(work func()) {
	previous := rt.Unset()
	go func() {
		rt.Ignore()
		work()
	}()
	rt.Restore(previous)
}

// collect looks at the rings until the program ends.
func (e *exporter) collect() {
	pause := idlePause
	timer := time.NewTimer(pause)
	for {
		select {
		case <-timer.C:
			pause = nextPause(pause, e.take(false))
			timer.Reset(pause)
		case <-e.stop.closing:
			e.finish()
			return
		}
	}
}

// nextPause follows the level of the fullest ring.
func nextPause(pause time.Duration, taken rt.Taken) time.Duration {
	switch {
	case taken.Agent:
		return agentPause
	case taken.Level*4 > rt.RingSize:
		pause = max(pause/4, busyPause)
	case taken.Level*16 < rt.RingSize:
		pause = min(pause*2, idlePause)
	}
	return pause
}

// take moves records from the rings to the queues. Spans that find no room stay where they are, log records are dropped: they
// must not keep spans from being taken. What is not enough for a batch waits for company, unless all is wanted.
func (e *exporter) take(all bool) rt.Taken {
	e.lock.Lock()
	defer e.lock.Unlock()
	for _, lane := range e.lanes {
		lane.encoder.SetClock()
	}
	e.atEnd = all
	takeLog := e.addLog
	if e.logs == nil {
		takeLog = nil
	}
	taken := rt.TakeRecords(e.add, takeLog)
	if e.spans != nil {
		e.spans.overflowed(taken.Dropped)
	}
	if e.logs != nil {
		e.logs.overflowed(taken.DroppedLogs)
	}
	for _, lane := range e.lanes {
		lane.settle(all)
	}
	return taken
}

// add encodes one span. The lock is held.
func (e *exporter) add(record rt.Record) bool {
	if e.spans == nil {
		return true
	}
	if e.spans.isFull() {
		return false
	}
	e.spans.arrives()
	e.spans.added(e.spanEncoder.Add(record))
	return true
}

// addLog encodes one log record. At the end all are taken: there is nothing left to come, and the rings hold no more than
// they hold. The lock is held.
func (e *exporter) addLog(record rt.LogRecord) {
	if e.logs.isFull() && !e.atEnd {
		e.logs.overflowed(1)
		return
	}
	e.logs.arrives()
	e.logs.added(e.logEncoder.Add(record))
}

// finish takes and has sent what is left, until the deadline.
func (e *exporter) finish() {
	defer close(e.stop.done)
	limit := time.NewTimer(e.left())
	defer limit.Stop()
	for {
		taken := e.take(true)
		held := 0
		e.lock.Lock()
		for _, lane := range e.lanes {
			held += lane.held
		}
		e.lock.Unlock()
		if held == 0 && !taken.More {
			return
		}
		select {
		case <-e.stop.progress:
		case <-limit.C:
			return
		}
	}
}

// flush sends what is finished before the program ends. It is called once for all, by whoever ends the program, and waits no
// longer than one request, or one batch, may take.
func (e *exporter) flush() {
	e.close()
	timer := time.NewTimer(e.left())
	defer timer.Stop()
	select {
	case <-e.stop.done:
	case <-timer.C:
	}
	e.lastWord()
}

// close has the rest sent.
func (e *exporter) close() {
	e.stop.once.Do(func() {
		e.stop.begun = time.Now()
		close(e.stop.closing)
	})
}

// left is how long the program's end may still take.
func (e *exporter) left() time.Duration {
	longest := time.Duration(0)
	for _, lane := range e.lanes {
		longest = max(longest, lane.last())
	}
	return longest - time.Since(e.stop.begun)
}

// lastWord says what was lost, if anything was.
func (e *exporter) lastWord() {
	e.lock.Lock()
	defer e.lock.Unlock()
	var spans, logs uint64
	rt.TakeRecords(func(rt.Record) bool {
		spans++
		return true
	}, func(rt.LogRecord) { logs++ })
	if e.spans != nil {
		e.spans.lastWord(spans)
	}
	if e.logs != nil {
		e.logs.lastWord(logs)
	}
}
