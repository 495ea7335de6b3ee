package standalone

import (
	"bytes"
	"compress/gzip"
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
func (e *exporter) send() {
	for {
		next, found := e.next()
		if !found {
			select {
			case <-e.waiting:
			case <-e.done:
				return
			}
			continue
		}
		e.begin()
		reason := e.deliver(next)
		e.lock.Lock()
		e.held -= min(next.spans, e.held)
		if reason != "" {
			e.lose(uint64(next.spans), reason)
		}
		e.lock.Unlock()
		wake(e.progress)
	}
}

func (e *exporter) next() (next batch, found bool) {
	e.lock.Lock()
	defer e.lock.Unlock()
	if len(e.queue) == 0 {
		return next, false
	}
	next = e.queue[0]
	copy(e.queue, e.queue[1:])
	e.queue[len(e.queue)-1] = batch{}
	e.queue = e.queue[:len(e.queue)-1]
	return next, true
}

// begin says once what there is to say about the environment. A program that has an agent never comes here.
func (e *exporter) begin() {
	if e.started {
		return
	}
	e.started = true
	for _, warning := range e.config.warnings {
		os.Stderr.WriteString("tandem: warning: " + warning + "\n")
	}
	e.say("no agent; spans go to " + e.config.url())
}

// deliver sends a batch, again and again where the other side says that it may work later. It returns why it gave up, or "".
func (e *exporter) deliver(next batch) (reason string) {
	body := next.body
	if e.gzip != nil {
		body = e.gzip.pack(body)
	}
	limit := time.Now().Add(e.config.exportTimeout)
	backoff := firstBackoff
	for {
		limit = e.earlier(limit)
		deadline := time.Now().Add(e.config.timeout)
		if limit.Before(deadline) {
			deadline = limit
		}
		answer, failure := e.client.post(body, deadline)
		var pause time.Duration
		switch {
		case failure != nil:
			reason = failure.Error()
			if e.isClosing() {
				return reason // nobody is there; a program that ends does not wait for somebody to come
			}
		case answer.status/100 == 2:
			e.accepted(&answer)
			return ""
		default:
			reason = e.config.url() + " answers with status " + strconv.Itoa(answer.status)
			if !mayWorkLater(answer.status) {
				return reason
			}
			pause = answer.retryAfter
		}
		if pause == 0 {
			pause = backoff/2 + time.Duration(rt.Random()%uint64(backoff))
			backoff = min(2*backoff, lastBackoff)
		}
		e.say(reason + "; again in " + pause.String())
		if !e.sleep(pause, limit) {
			return reason
		}
	}
}

// accepted looks whether all of a batch was.
func (e *exporter) accepted(answer *reply) {
	var count int64
	message := ""
	if e.config.json {
		count = rejectedJSON(answer.body)
	} else {
		count, message = rejected(answer.body)
	}
	if count > 0 {
		e.lock.Lock()
		e.lose(uint64(count), "refused by "+e.config.url()+" "+strconv.Quote(message))
		e.lock.Unlock()
	} else if message != "" {
		e.say(e.config.url() + " says " + strconv.Quote(message))
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
func (e *exporter) earlier(limit time.Time) time.Time {
	if e.isClosing() && e.deadline.Before(limit) {
		return e.deadline
	}
	return limit
}

func (e *exporter) isClosing() bool {
	select {
	case <-e.closing:
		return true
	default:
		return false
	}
}

// sleep waits before a retry. It returns false where the limit comes first: then there is no use in it. When the program
// begins to end meanwhile, the pause goes on, as far as there is time.
func (e *exporter) sleep(pause time.Duration, limit time.Time) bool {
	end := time.Now().Add(pause)
	if end.After(e.earlier(limit)) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.closing:
	}
	if end.After(e.earlier(limit)) {
		return false
	}
	<-timer.C
	return true
}

// packer compresses. Fast: on the way to a collector, the processor costs more than the bytes.
type packer struct {
	writer *gzip.Writer
	buffer bytes.Buffer
}

// pack returns the compressed body, which is good until the next call.
func (p *packer) pack(body []byte) []byte {
	p.buffer.Reset()
	if p.writer == nil {
		p.writer, _ = gzip.NewWriterLevel(&p.buffer, gzip.BestSpeed)
	} else {
		p.writer.Reset(&p.buffer)
	}
	p.writer.Write(body)
	p.writer.Close()
	return p.buffer.Bytes()
}
