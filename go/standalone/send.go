package standalone

import (
	"os"
	"strconv"
	"time"

	"tandem/rt"
)

const (
	// The pause before the first retry, and the longest.
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// send sends one batch after the other.
func (l *lane) send() {
	for {
		next, found := l.next()
		if !found {
			select {
			case <-l.waiting:
			case <-l.stop.done:
				return
			}
			continue
		}
		l.begin()
		reason := l.deliver(next)
		l.lock.Lock()
		l.held -= min(next.count, l.held)
		if reason != "" {
			l.lose(uint64(next.count), reason)
		}
		l.lock.Unlock()
		wake(l.stop.progress)
	}
}

func (l *lane) next() (next batch, found bool) {
	l.lock.Lock()
	defer l.lock.Unlock()
	if len(l.queue) == 0 {
		return next, false
	}
	next = l.queue[0]
	copy(l.queue, l.queue[1:])
	l.queue[len(l.queue)-1] = batch{}
	l.queue = l.queue[:len(l.queue)-1]
	return next, true
}

// begin says once what there is to say about the environment. A program that has an agent never comes here.
func (l *lane) begin() {
	if l.started {
		return
	}
	l.started = true
	for _, warning := range l.config.warnings {
		os.Stderr.WriteString("tandem: warning: " + warning + "\n")
	}
	l.say("no agent; " + l.config.signal.what + " go to " + l.config.url())
}

// deliver sends a batch, again and again where the other side says that it may work later. It returns why it gave up, or "".
func (l *lane) deliver(next batch) (reason string) {
	body := next.body
	if l.gzip != nil {
		body = l.gzip.pack(body)
	}
	limit := time.Now().Add(l.config.exportTimeout)
	backoff := firstBackoff
	for {
		limit = l.earlier(limit)
		deadline := time.Now().Add(l.config.timeout)
		if limit.Before(deadline) {
			deadline = limit
		}
		answer, failure := l.client.post(body, deadline)
		var pause time.Duration
		switch {
		case failure != nil:
			reason = failure.Error()
			if l.isClosing() {
				return reason // nobody is there; a program that ends does not wait for somebody to come
			}
		case answer.status/100 == 2:
			l.accepted(&answer)
			return ""
		default:
			reason = l.config.url() + " answers with status " + strconv.Itoa(answer.status)
			if !mayWorkLater(answer.status) {
				return reason
			}
			pause = answer.retryAfter
		}
		if pause == 0 {
			pause = backoff/2 + time.Duration(rt.Random()%uint64(backoff))
			backoff = min(2*backoff, lastBackoff)
		}
		l.say(reason + "; again in " + pause.String())
		if !l.sleep(pause, limit) {
			return reason
		}
	}
}

// accepted looks whether all of a batch was.
func (l *lane) accepted(answer *reply) {
	var count int64
	message := ""
	if l.config.json {
		count = rejectedJSON(answer.body, l.config.signal.rejected)
	} else {
		count, message = rejected(answer.body)
	}
	if count > 0 {
		l.lock.Lock()
		l.lose(uint64(count), "refused by "+l.config.url()+" "+strconv.Quote(message))
		l.lock.Unlock()
	} else if message != "" {
		l.say(l.config.url() + " says " + strconv.Quote(message))
	}
}

// mayWorkLater are the answers that OTLP has for it.
func mayWorkLater(status int) bool {
	switch status {
	case 429, 502, 503, 504:
		return true
	}
	return false
}

// earlier is the limit, or the end of the program where that comes first.
func (l *lane) earlier(limit time.Time) time.Time {
	if l.isClosing() {
		if last := l.stop.begun.Add(l.last()); last.Before(limit) {
			return last
		}
	}
	return limit
}

func (l *lane) isClosing() bool {
	select {
	case <-l.stop.closing:
		return true
	default:
		return false
	}
}

// sleep waits before a retry. It returns false where the limit comes first: then there is no use in it. When the program
// begins to end meanwhile, the pause goes on, as far as there is time.
func (l *lane) sleep(pause time.Duration, limit time.Time) bool {
	end := time.Now().Add(pause)
	if end.After(l.earlier(limit)) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.stop.closing:
	}
	if end.After(l.earlier(limit)) {
		return false
	}
	<-timer.C
	return true
}
