package load

import (
	"context"
	"sync"
	"time"
)

// maxLag is how much lost time pace makes up for: more would be a burst.
const maxLag = 100 * time.Millisecond

// pace spreads the starts of requests evenly.
type pace struct {
	interval time.Duration // 0: no waiting.

	mu   sync.Mutex
	next time.Time
}

func newPace(rate float64) *pace {
	if rate <= 0 {
		return &pace{}
	}
	return &pace{interval: time.Duration(float64(time.Second) / rate), next: time.Now()}
}

// wait returns true when the next request may start, false when the context ended.
func (p *pace) wait(ctx context.Context) bool {
	if p.interval == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(time.Until(p.take()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// take returns when the next request is due.
func (p *pace) take() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if earliest := time.Now().Add(-maxLag); p.next.Before(earliest) {
		p.next = earliest
	}
	due := p.next
	p.next = due.Add(p.interval)
	return due
}
