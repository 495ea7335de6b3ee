package main

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
)

// truth is what the parent of a span must be: the way up from it to the next span that the program has made by itself, or
// to a root. "7" is the span with that number; "server client 7" is a server's span below a client's span below span 7;
// "root" is no parent and no link; "link 7" is no parent, and one link, to span 7.
type truth string

const root truth = "root"

// link is the truth of a root that is linked to where it comes from.
func link(from truth) truth { return "link " + from }

// below is the truth of what is below spans that packs make, the innermost first.
func below(spans string, outer truth) truth { return truth(spans) + " " + outer }

// made counts the spans that the program has made, and numbers them.
var made atomic.Int64

// round is one run of a shape.
type round struct{ shape string }

// in does work in a span whose parent is found without a context.Context.
func (r round) in(parent truth, work func(self truth)) { r.with(nil, parent, work) }

// with does work in a span that is started with an explicit context.
func (r round) with(ctx context.Context, parent truth, work func(self truth)) {
	id := made.Add(1)
	bed(ctx, id, r.shape, parent, work)
}

// one is a span in which nothing happens.
func (r round) one(parent truth) { r.with(nil, parent, nothing) }

// oneWith is one with an explicit context.
func (r round) oneWith(ctx context.Context, parent truth) { r.with(ctx, parent, nothing) }

func nothing(truth) {}

//tandem:span bed bed.id=id bed.shape=shape bed.parent=parent
func bed(ctx context.Context, id int64, shape string, parent truth, work func(self truth)) {
	work(truth(strconv.FormatInt(id, 10)))
}

// on does work on a goroutine of its own and waits for it.
func on(work func()) { <-start(work) }

// start does work on a goroutine of its own; the channel is closed at its end.
func start(work func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	return done
}

// worker is a goroutine that does what comes through a channel: a plain one, which carries no context.
type worker chan func()

func newWorker() worker {
	w := make(worker)
	w.start()
	return w
}

func (w worker) start() {
	go func() {
		for job := range w {
			job()
		}
	}()
}

// do hands over a job and waits for it.
func (w worker) do(job func()) {
	done := make(chan struct{})
	w <- func() {
		defer close(done)
		job()
	}
	<-done
}

// early are workers that were there before any span: enough for jobs that wait for others.
var early = func() worker {
	w := newWorker()
	for n := 1; n < 64; n++ {
		w.start()
	}
	return w
}()

// elsewhere does a job on one of the early workers.
func elsewhere(job func()) { early.do(job) }

var closers struct {
	sync.Mutex
	list []func()
}

// atRest notes what must have come to its end before the program can be measured.
func atRest(wait func()) {
	closers.Lock()
	defer closers.Unlock()
	closers.list = append(closers.list, wait)
}

func rest() {
	for _, wait := range closers.list {
		wait()
	}
}
