package standalone

import (
	"os"
	"strconv"
	"sync"
	"time"
)

// lane is the way of one signal, spans or log records, from an encoder to who receives them. Each has a queue, a connection
// and a goroutine of its own, so that neither waits for the other.
type lane struct {
	config  *config
	client  *client
	gzip    *packer
	debug   bool
	started bool
	stop    *stop

	lock    *sync.Mutex // the exporter's; what follows is under it
	encoder interface {
		SetClock()
		Count() int
		Take() (body []byte, count int)
	}
	since  time.Time // when the first of those that wait for company was taken
	queue  []batch
	held   int // were taken, and nobody knows yet what becomes of them
	lost   uint64
	reason string // of the latest loss

	waiting chan struct{} // there is something in the queue
}

// batch is an encoded request.
type batch struct {
	body  []byte
	count int
}

// stop is the end of the program.
type stop struct {
	once     sync.Once
	closing  chan struct{}
	begun    time.Time     // set before closing is closed
	done     chan struct{} // all was sent, or it is too late
	progress chan struct{} // something was sent
}

func newLane(c *config, stop *stop, lock *sync.Mutex) *lane {
	l := &lane{
		config: c, client: newClient(c), debug: os.Getenv("TANDEM_DEBUG") != "", stop: stop, lock: lock,
		waiting: make(chan struct{}, 1),
	}
	if c.gzip {
		l.gzip = new(packer)
	}
	return l
}

// isFull says whether there is no room for one more. The lock is held.
func (l *lane) isFull() bool { return l.held >= l.config.queue }

// arrives is called before one is encoded, added after it. The lock is held.
func (l *lane) arrives() {
	if l.encoder.Count() == 0 {
		l.since = time.Now()
	}
}

func (l *lane) added(makesSense bool) {
	if !makesSense {
		l.lose(1, "a record that makes no sense")
		return
	}
	l.held++
	if l.encoder.Count() >= l.config.batch {
		l.seal()
	}
}

// overflowed counts those that found no room. The lock is held.
func (l *lane) overflowed(count uint64) {
	if count > 0 {
		l.lose(count, "more than could be taken; "+l.config.signal.batch+"MAX_QUEUE_SIZE is "+strconv.Itoa(l.config.queue))
	}
}

// last is how long the lane may still send when the program has begun to end: as long as one request or one batch may take.
func (l *lane) last() time.Duration { return min(l.config.timeout, l.config.exportTimeout) }

// settle seals what has waited for long enough, or all. The lock is held.
func (l *lane) settle(all bool) {
	if l.encoder.Count() > 0 && (all || time.Since(l.since) >= l.config.delay) {
		l.seal()
	}
}

// seal makes a batch of what was encoded. The lock is held.
func (l *lane) seal() {
	body, count := l.encoder.Take()
	l.queue = append(l.queue, batch{body, count})
	wake(l.waiting)
}

// lose counts those that nobody will get. The lock is held.
func (l *lane) lose(count uint64, reason string) {
	l.lost += count
	l.reason = reason
	l.say("lost " + strconv.FormatUint(count, 10) + " " + l.config.signal.what + ": " + reason)
}

// lastWord says what was lost, if anything was. The lock is held.
func (l *lane) lastWord(left uint64) {
	lost := l.lost + uint64(l.held) + left
	l.held = 0
	if lost > 0 {
		reason := l.reason
		if reason == "" {
			reason = "no answer from " + l.config.url()
		}
		os.Stderr.WriteString("tandem: " + strconv.FormatUint(lost, 10) + " " + l.config.signal.what + " were lost: " + reason + "\n")
	}
	l.lost = 0
}

// say is for TANDEM_DEBUG.
func (l *lane) say(text string) {
	if l.debug {
		os.Stderr.WriteString("tandem: " + text + "\n")
	}
}

func wake(who chan struct{}) {
	select {
	case who <- struct{}{}:
	default:
	}
}
