package orders

import "sync"

// watchers tells those who watch an order that it has changed. It does not say
// how: they read the order anew, so a change that comes while one is being read
// is never lost, and several may be told as one.
type watchers struct {
	mu      sync.Mutex
	byOrder map[string]map[chan struct{}]struct{}
}

func newWatchers() *watchers {
	return &watchers{byOrder: map[string]map[chan struct{}]struct{}{}}
}

// watch returns a channel that receives after each change, until stop is called.
func (w *watchers) watch(id string) (changed <-chan struct{}, stop func()) {
	signal := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byOrder[id] == nil {
		w.byOrder[id] = map[chan struct{}]struct{}{}
	}
	w.byOrder[id][signal] = struct{}{}
	return signal, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.byOrder[id], signal)
		if len(w.byOrder[id]) == 0 {
			delete(w.byOrder, id)
		}
	}
}

func (w *watchers) notify(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for signal := range w.byOrder[id] {
		select {
		case signal <- struct{}{}:
		default: // It was told and has not looked yet.
		}
	}
}
