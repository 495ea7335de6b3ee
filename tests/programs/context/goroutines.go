package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

func init() {
	shapes = append(shapes,
		shape{name: "goroutines", run: goroutines},
		shape{name: "outliving", run: outliving},
		shape{name: "worker pool", run: workerPool},
		shape{name: "late worker pool", run: lateWorkerPool},
		shape{name: "sync.Pool", run: reusedObjects},
		shape{name: "pipeline", run: pipeline},
		shape{name: "reused goroutines", run: reusedGoroutines},
		shape{name: "panics", run: panics},
		shape{name: "Goexit", run: exits},
		shape{name: "locked threads", run: lockedThreads},
		shape{name: "timers", run: timers},
		shape{name: "context.AfterFunc", run: contextAfterFunc},
	)
}

// Goroutines inherit what is current at the go statement, however deep, also when that has ended before its root.
func goroutines(r round) {
	r.one(root)
	r.in(root, func(a truth) {
		on(func() {
			r.one(a)
			r.in(a, func(b truth) {
				r.one(b)
				on(func() { on(func() { r.one(b) }) })
			})
			r.one(a)
		})
		proceed := make(chan struct{})
		var late <-chan struct{}
		r.in(a, func(b truth) {
			late = start(func() {
				<-proceed // b has ended
				r.in(b, func(c truth) {
					on(func() { r.one(c) })
				})
			})
		})
		close(proceed)
		r.one(a)
		<-late
		var all sync.WaitGroup
		for n := 0; n < 8; n++ {
			all.Add(1)
			go func() {
				defer all.Done()
				r.in(a, func(b truth) { r.one(b) })
			}()
		}
		all.Wait()
	})
	r.one(root)
}

// What was inherited ends with its root: what a goroutine does later is a root of its own, with a link. A span that runs
// when its root ends goes on as the parent of what is inside.
func outliving(r round) {
	proceed, running := make(chan struct{}), make(chan struct{})
	var late, across <-chan struct{}
	r.in(root, func(a truth) {
		late = start(func() {
			r.one(a)
			running <- struct{}{}
			<-proceed
			r.in(link(a), func(b truth) {
				r.one(b)
				on(func() { r.one(b) })
			})
			r.one(link(a))
			on(func() { r.one(link(a)) })
		})
		across = start(func() {
			r.in(a, func(b truth) {
				running <- struct{}{}
				<-proceed
				r.in(b, func(c truth) { on(func() { r.one(c) }) })
			})
			r.one(link(a))
		})
		<-running
		<-running
	})
	close(proceed)
	<-late
	<-across
}

// Workers that were there before any span have only what comes with the job.
func workerPool(r round) {
	r.in(root, func(a truth) {
		elsewhere(func() {
			r.in(root, func(b truth) { r.one(b) })
		})
		r.one(a)
	})
}

// Workers that a span has started have its context, whoever sends the job: plain channels carry none.
func lateWorkerPool(r round) {
	var w worker
	var b truth
	r.in(root, func(a truth) {
		r.in(a, func(self truth) {
			b = self
			w = newWorker()
			w.do(func() { r.one(b) })
		})
		elsewhere(func() {
			r.in(root, func(c truth) {
				w.do(func() { r.one(b) })
				r.one(c)
			})
		})
		w.do(func() { r.one(b) })
	})
	r.in(root, func(c truth) {
		w.do(func() { r.in(link(b), func(d truth) { r.one(d) }) })
		r.one(c)
	})
	close(w)
}

type pooled struct {
	scratch []byte
	done    func()
}

var pool = sync.Pool{New: func() any { return &pooled{scratch: make([]byte, 64)} }}

// Objects that go from span to span carry nothing.
func reusedObjects(r round) {
	for n := 0; n < 4; n++ {
		r.in(root, func(a truth) {
			object := pool.Get().(*pooled)
			object.done = func() { r.one(a) }
			r.in(a, func(b truth) {
				other := pool.Get().(*pooled)
				r.one(b)
				pool.Put(other)
			})
			object.done()
			object.done = nil
			pool.Put(object)
		})
	}
}

// The stages of a pipeline have the context of who built it.
func pipeline(r round) {
	r.in(root, func(a truth) {
		first, second, results := make(chan int), make(chan int), make(chan int)
		go func() {
			defer close(second)
			for n := range first {
				r.one(a)
				second <- n + 1
			}
		}()
		go func() {
			defer close(results)
			for n := range second {
				r.in(a, func(b truth) { r.one(b) })
				results <- n * 2
			}
		}()
		r.in(a, func(b truth) {
			go func() {
				defer close(first)
				for n := 0; n < 4; n++ {
					r.one(b)
					first <- n
				}
			}()
			for range results {
				r.one(b)
			}
		})
	})
}

// A goroutine that has ended leaves nothing to the next one that Go makes of it.
func reusedGoroutines(r round) {
	r.in(root, func(a truth) {
		var all sync.WaitGroup
		for n := 0; n < 16; n++ {
			all.Add(1)
			go func() {
				defer all.Done()
				r.one(a)
			}()
		}
		all.Wait()
	})
	for n := 0; n < 16; n++ {
		on(func() { r.one(root) })
	}
}

var errExpected = errors.New("on purpose")

func recovered(work func()) {
	defer func() {
		if recover() == nil {
			panic("it did not panic")
		}
	}()
	work()
}

// Panics end the spans that they go through, and leave the one that recovers current; so does a signal that becomes one.
func panics(r round) {
	r.in(root, func(a truth) {
		recovered(func() {
			r.in(a, func(b truth) {
				defer r.one(b)
				r.in(b, func(c truth) {
					defer r.one(c)
					panic(errExpected)
				})
			})
		})
		r.one(a)
		recovered(func() {
			r.in(a, func(b truth) {
				var nothing *pooled
				nothing.done() // SIGSEGV
			})
		})
		r.one(a)
		recovered(func() {
			defer func() {
				value := recover()
				r.one(a)
				panic(value)
			}()
			r.in(a, func(b truth) { panic(errExpected) })
		})
		on(func() {
			recovered(func() { r.in(a, func(truth) { panic(errExpected) }) })
			r.one(a)
		})
	})
	r.one(root)
}

// So does runtime.Goexit, whose deferred functions still belong to their spans.
func exits(r round) {
	r.in(root, func(a truth) {
		on(func() {
			defer r.one(a)
			r.in(a, func(b truth) {
				defer r.one(b)
				r.in(b, func(c truth) {
					defer r.one(c)
					runtime.Goexit()
				})
			})
		})
		r.one(a)
	})
	on(func() { r.in(root, func(truth) { runtime.Goexit() }) })
	for n := 0; n < 4; n++ {
		on(func() { r.one(root) })
	}
}

// A goroutine that is wired to its thread is a goroutine; its end takes the thread with it.
func lockedThreads(r round) {
	r.in(root, func(a truth) {
		on(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			r.in(a, func(b truth) {
				on(func() { r.one(b) })
				runtime.Gosched()
				r.one(b)
			})
		})
		on(func() {
			runtime.LockOSThread()
			r.one(a)
		})
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		on(func() { r.one(a) })
		r.one(a)
	})
	on(func() { r.one(root) })
}

// What AfterFunc runs belongs to who called AfterFunc; Reset changes nothing about that.
func timers(r round) {
	fire := func(timer *time.Timer, fired <-chan struct{}) {
		timer.Reset(time.Microsecond)
		<-fired
	}
	var timer *time.Timer
	fired := make(chan struct{})
	parent := make(chan truth, 1)
	later := func() {
		r.in(<-parent, func(b truth) { on(func() { r.one(b) }) })
		fired <- struct{}{}
	}
	var self truth
	r.in(root, func(a truth) {
		self = a
		parent <- a
		timer = time.AfterFunc(time.Microsecond, later)
		<-fired
		r.in(a, func(b truth) {
			parent <- a
			fire(timer, fired)
			r.one(b)
		})
		r.in(a, func(b truth) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Microsecond)
			defer cancel()
			<-ctx.Done()
			r.one(b)
		})
	})
	r.in(root, func(b truth) {
		parent <- link(self)
		fire(timer, fired)
		r.one(b)
	})
	parent <- root
	time.AfterFunc(time.Microsecond, later)
	<-fired
	r.in(root, func(a truth) {
		stopped := time.AfterFunc(time.Hour, func() { panic("it was stopped") })
		r.one(a)
		stopped.Stop()
	})
}

// What context.AfterFunc runs belongs to who called it too, and not to who cancels.
func contextAfterFunc(r round) {
	done := make(chan struct{})
	after := func(ctx context.Context, parent func() truth) {
		context.AfterFunc(ctx, func() {
			r.in(parent(), func(b truth) { r.one(b) })
			done <- struct{}{}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.in(root, func(a truth) {
		after(ctx, func() truth { return a })
		elsewhere(func() {
			r.in(root, func(b truth) {
				cancel()
				<-done
				r.one(b)
			})
		})
	})
	ctx, cancel = context.WithCancel(context.Background())
	r.in(root, func(a truth) { after(ctx, func() truth { return link(a) }) })
	r.in(root, func(truth) {
		cancel()
		<-done
	})
	ctx, cancel = context.WithCancel(context.Background())
	after(ctx, func() truth { return root })
	r.in(root, func(truth) {
		cancel()
		<-done
	})
	r.in(root, func(a truth) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Microsecond)
		defer cancel()
		after(ctx, func() truth { return a })
		<-done
	})
}
