package main

// void bed_call_here(int number);
// void bed_call_on_thread(int number, int times);
import "C"

import (
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func init() {
	shapes = append(shapes,
		shape{name: "cgo callbacks", run: callbacks},
		shape{name: "signals", run: signals},
		shape{name: "finalizers", every: 64, run: finalizers},
	)
}

var callback struct {
	sync.Mutex
	work map[C.int]func()
	next C.int
}

func withCallback(work func(), use func(number C.int)) {
	callback.Lock()
	callback.next++
	number := callback.next
	callback.work[number] = work
	callback.Unlock()
	use(number)
	callback.Lock()
	delete(callback.work, number)
	callback.Unlock()
}

func init() { callback.work = map[C.int]func(){} }

//export bedCallback
func bedCallback(number C.int) {
	callback.Lock()
	work := callback.work[number]
	callback.Unlock()
	work()
}

// A callback from C on the goroutine's own way is part of it; one on a thread that C has made has no context.
func callbacks(r round) {
	here := func(work func()) { withCallback(work, func(number C.int) { C.bed_call_here(number) }) }
	thread := func(times C.int, work func()) {
		withCallback(work, func(number C.int) { C.bed_call_on_thread(number, times) })
	}
	r.in(root, func(a truth) {
		here(func() {
			r.one(a)
			r.in(a, func(b truth) {
				here(func() {
					r.one(b)
					on(func() { r.one(b) })
				})
				r.one(b)
			})
		})
		r.one(a)
		thread(3, func() {
			r.in(root, func(b truth) {
				r.one(b)
				here(func() { r.one(b) })
				on(func() { r.one(b) })
			})
			r.one(root)
		})
		r.one(a)
		recovered(func() {
			here(func() { r.in(a, func(truth) { panic(errExpected) }) })
		})
		r.one(a)
	})
	thread(1, func() { r.one(root) })
}

var signalling struct {
	sync.Mutex
	job chan func()
}

func init() {
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGUSR1)
	signalling.job = make(chan func())
	go func() {
		for range received {
			(<-signalling.job)()
		}
	}()
}

// What a signal's receiver does belongs to no span that was running, unless a span has started the receiver.
func signals(r round) {
	signalling.Lock()
	defer signalling.Unlock()
	done := make(chan struct{})
	r.in(root, func(a truth) {
		own := make(chan os.Signal, 1)
		signal.Notify(own, syscall.SIGUSR1)
		receiver := start(func() {
			<-own
			r.one(a)
		})
		check(syscall.Kill(os.Getpid(), syscall.SIGUSR1))
		signalling.job <- func() {
			r.one(root)
			close(done)
		}
		<-done
		<-receiver
		signal.Stop(own)
		r.one(a)
	})
}

type object struct {
	self *object
	fill [64]byte
}

// collected gives an object away and waits until the collector has found it.
func collected(prepare func(object *object, done func())) {
	done := make(chan struct{})
	func() { prepare(new(object), func() { close(done) }) }()
	for {
		runtime.GC()
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// Finalizers belong to nobody: not to who sets them, nor to who happens to wake the collector.
func finalizers(r round) {
	r.in(root, func(a truth) {
		collected(func(o *object, done func()) {
			runtime.SetFinalizer(o, func(*object) {
				r.one(root)
				done()
			})
		})
		r.one(a)
	})
}
