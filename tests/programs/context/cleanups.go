//go:build go1.24

package main

import "runtime"

func init() {
	shapes = append(shapes, shape{name: "cleanups", every: 64, run: cleanups})
}

// Cleanups belong to nobody either. Go starts goroutines for them when it needs some.
func cleanups(r round) {
	r.in(root, func(a truth) {
		collected(func(object *object, done func()) {
			runtime.AddCleanup(object, func(int) {
				r.one(root)
				done()
			}, 0)
		})
		r.one(a)
	})
}
