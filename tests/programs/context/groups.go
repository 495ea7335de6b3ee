//go:build go1.26

package main

import (
	"net/http"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
)

func init() {
	shapes = append(shapes,
		shape{name: "errgroup", run: groups},
		shape{name: "singleflight", run: flights},
	)
}

// A group's goroutines have the context of who called Go, wherever the group comes from.
func groups(r round) {
	r.in(root, func(a truth) {
		group, ctx := errgroup.WithContext(background)
		group.SetLimit(2)
		task := func(parent truth) func() error {
			return func() error {
				r.oneWith(ctx, parent)
				r.in(parent, func(b truth) { r.one(b) })
				return nil
			}
		}
		for n := 0; n < 3; n++ {
			group.Go(task(a))
		}
		r.in(a, func(b truth) { group.Go(task(b)) }) // which may end before
		elsewhere(func() { group.Go(task(root)) })
		check(group.Wait())
		plain.get(background, a, func(_ http.ResponseWriter, req *http.Request, here truth) {
			group, ctx := errgroup.WithContext(req.Context())
			for n := 0; n < 3; n++ {
				group.Go(func() error {
					r.with(ctx, here, func(b truth) { r.oneWith(ctx, b) })
					return nil
				})
			}
			elsewhere(func() {
				group.Go(func() error {
					r.oneWith(ctx, here)
					return nil
				})
			})
			check(group.Wait())
		})
	})
}

// What several callers share belongs to the one who came first.
func flights(r round) {
	var group singleflight.Group
	ask := func(how func(work func())) {
		r.in(root, func(a truth) {
			how(func() { r.in(a, func(b truth) { r.one(b) }) })
			r.one(a)
		})
	}
	wait := func(work func()) {
		_, err, _ := group.Do("key", func() (any, error) {
			work()
			return nil, nil
		})
		check(err)
	}
	apart := func(work func()) {
		check((<-group.DoChan("key", func() (any, error) {
			work()
			return nil, nil
		})).Err)
	}
	var all errgroup.Group
	for _, how := range []func(func()){wait, apart, wait, apart} {
		all.Go(func() error {
			ask(how)
			return nil
		})
	}
	check(all.Wait())
}
