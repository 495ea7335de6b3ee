//go:build go1.23

package main

import (
	"iter"
	"runtime"
)

func init() {
	shapes = append(shapes, shape{name: "iterators", run: iterators})
}

// caller is who has called next last, for an iterator to know whom it works for.
type caller struct{ truth }

// pages yields for ever; what it does for each page belongs to who asks for it.
func (c *caller) pages(r round) iter.Seq[int] {
	return func(yield func(int) bool) {
		for n := 0; ; n++ {
			r.in(c.truth, func(b truth) { r.one(b) })
			if !yield(n) {
				r.one(c.truth)
				return
			}
		}
	}
}

// An iterator works for who asks it, whether it is a function that is called, or a coroutine.
func iterators(r round) {
	var c caller
	r.in(root, func(a truth) {
		c.truth = a
		for n := range c.pages(r) {
			r.one(a)
			if n == 2 {
				break
			}
		}
	})
	next, stop := iter.Pull(c.pages(r)) // outside of any span
	c.truth = root
	next()
	for n := 0; n < 2; n++ {
		r.in(root, func(a truth) {
			c.truth = a
			next()
			r.in(a, func(b truth) {
				c.truth = b
				next()
				r.one(b)
			})
			on(func() {
				c.truth = a
				next()
			})
			r.one(a)
		})
	}
	r.in(root, func(a truth) {
		c.truth = a
		stop()
		r.one(a)
	})

	// One that has a span of its own open keeps it, and so does one inside of it.
	r.in(root, func(a truth) {
		inner := caller{a}
		next, stop := iter.Pull(func(yield func(int) bool) {
			r.in(a, func(own truth) {
				inner.truth = own
				next, stop := iter.Pull(inner.pages(r))
				defer stop()
				for {
					n, _ := next()
					r.one(own)
					on(func() { r.one(own) })
					if !yield(n) {
						return
					}
				}
			})
			r.one(a)
		})
		next()
		r.in(a, func(b truth) {
			next()
			r.one(b)
		})
		stop()
		r.one(a)
	})

	// A panic and an exit go through to the caller.
	r.in(root, func(a truth) {
		next, _ := iter.Pull(func(func(int) bool) { r.in(a, func(truth) { panic(errExpected) }) })
		recovered(func() { next() })
		r.one(a)
		on(func() {
			defer r.one(a)
			next, _ := iter.Pull(func(func(int) bool) { r.in(a, func(truth) { runtime.Goexit() }) })
			next()
		})
		runtime.LockOSThread() // as with a coroutine that shares its caller's thread
		defer runtime.UnlockOSThread()
		next, stop := iter.Pull((&caller{a}).pages(r))
		next()
		stop()
		r.one(a)
	})
	r.one(root)
}
