package standalone

import (
	"os"
	"strconv"
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

// exporter takes spans out of the rings and sends them.
type exporter struct {
	config *config
	debug  bool
	client *client
	gzip   *packer

	// Touched by collect alone.
	encoder *Encoder
	since   time.Time // when the first of the spans that wait for company was taken
	started bool

	lock   sync.Mutex
	queue  []batch
	held   int // spans that were taken and of which nobody knows yet what becomes
	lost   uint64
	reason string // of the latest loss

	waiting  chan struct{} // there is something in the queue
	progress chan struct{} // held has become less

	once     sync.Once
	closing  chan struct{}
	deadline time.Time // set before closing is closed
	done     chan struct{}
}

// batch is an encoded request.
type batch struct {
	body  []byte
	spans int
}

// An initialiser, so that also what packages do before main is sent.
var running = start()

// start begins to export where the environment asks for it.
func start() *exporter {
	if !rt.Reading() || isTest(os.Args) {
		return nil
	}
	config := readConfig(os.Getenv)
	if config == nil {
		return nil
	}
	e := newExporter(config)
	rt.OnExit(e.flush)
	e.startMuted(e.collect)
	e.startMuted(e.send)
	e.watchSignals()
	return e
}

// isTest says whether this is a binary of `go test`: those never export, whatever the environment is made for.
func isTest(arguments []string) bool {
	return len(arguments) > 0 && (strings.HasSuffix(arguments[0], ".test") || strings.HasSuffix(arguments[0], ".test.exe"))
}

func newExporter(c *config) *exporter {
	e := &exporter{
		config:   c,
		debug:    os.Getenv("TANDEM_DEBUG") != "",
		client:   newClient(c),
		encoder:  NewEncoder(c.json, os.Getenv),
		waiting:  make(chan struct{}, 1),
		progress: make(chan struct{}, 1),
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
	}
	e.encoder.limits = c.limits
	if c.gzip {
		e.gzip = new(packer)
	}
	return e
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
		case <-e.closing:
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

// take moves spans from the rings to the queue, as many as it has room for. What is not enough for a batch waits for
// company, unless all is wanted.
func (e *exporter) take(all bool) rt.Taken {
	e.lock.Lock()
	defer e.lock.Unlock()
	e.encoder.SetClock()
	taken := rt.TakeRecords(e.add)
	if taken.Dropped > 0 {
		e.lose(taken.Dropped, "more spans than could be taken; OTEL_BSP_MAX_QUEUE_SIZE is "+strconv.Itoa(e.config.queue))
	}
	if waiting := e.encoder.Spans(); waiting > 0 && (all || time.Since(e.since) >= e.config.delay) {
		e.seal()
	}
	return taken
}

// add encodes one record. The lock is held.
func (e *exporter) add(record rt.Record) bool {
	if e.held >= e.config.queue {
		return false
	}
	if e.encoder.Spans() == 0 {
		e.since = time.Now()
	}
	if !e.encoder.Add(record) {
		e.lose(1, "a record that makes no sense")
		return true
	}
	e.held++
	if e.encoder.Spans() >= e.config.batch {
		e.seal()
	}
	return true
}

// seal makes a batch of what was encoded. The lock is held.
func (e *exporter) seal() {
	body, spans := e.encoder.Take()
	e.queue = append(e.queue, batch{body, spans})
	wake(e.waiting)
}

// lose counts spans that nobody will get. The lock is held.
func (e *exporter) lose(spans uint64, reason string) {
	e.lost += spans
	e.reason = reason
	e.say("lost " + strconv.FormatUint(spans, 10) + " spans: " + reason)
}

// finish takes and has sent what is left, until the deadline.
func (e *exporter) finish() {
	defer close(e.done)
	limit := time.NewTimer(time.Until(e.deadline))
	defer limit.Stop()
	for {
		taken := e.take(true)
		e.lock.Lock()
		held := e.held
		e.lock.Unlock()
		if held == 0 && !taken.More {
			return
		}
		select {
		case <-e.progress:
		case <-limit.C:
			return
		}
	}
}

// flush sends what is finished before the program ends. It is called once for all, by whoever ends the program, and waits no
// longer than one request, or one batch, may take.
func (e *exporter) flush() {
	e.close()
	timer := time.NewTimer(time.Until(e.deadline))
	defer timer.Stop()
	select {
	case <-e.done:
	case <-timer.C:
	}
	e.lastWord()
}

// close has the rest sent.
func (e *exporter) close() {
	e.once.Do(func() {
		e.deadline = time.Now().Add(min(e.config.timeout, e.config.exportTimeout))
		close(e.closing)
	})
}

// lastWord says what was lost, if anything was.
func (e *exporter) lastWord() {
	e.lock.Lock()
	defer e.lock.Unlock()
	lost := e.lost + uint64(e.held)
	e.held = 0
	rt.TakeRecords(func(rt.Record) bool {
		lost++
		return true
	})
	if lost > 0 {
		reason := e.reason
		if reason == "" {
			reason = "no answer from " + e.config.url()
		}
		os.Stderr.WriteString("tandem: " + strconv.FormatUint(lost, 10) + " spans were lost: " + reason + "\n")
	}
	e.lost = 0
}

// say is for TANDEM_DEBUG.
func (e *exporter) say(text string) {
	if e.debug {
		os.Stderr.WriteString("tandem: " + text + "\n")
	}
}

func wake(who chan struct{}) {
	select {
	case who <- struct{}{}:
	default:
	}
}
