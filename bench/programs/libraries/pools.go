package main

import (
	"context"
	"log"

	"github.com/panjf2000/ants/v2"
	"github.com/sourcegraph/conc/pool"
)

// Tasks that are handed to a pool's worker within a span, which they go on with: none of them has one of its own.
func init() {
	more = append(more,
		func(with instruments) call {
			workers, err := ants.NewPool(1)
			if err != nil {
				log.Fatal(err)
			}
			return pooled("ants", with, func(task func()) {
				if err := workers.Submit(task); err != nil {
					log.Fatal(err)
				}
			})
		},
		func(with instruments) call {
			workers := pool.New().WithMaxGoroutines(1)
			return pooled("conc", with, workers.Go)
		})
}

func pooled(name string, with instruments, submit func(task func())) call {
	done := make(chan struct{})
	task := func() { done <- struct{}{} }
	return call{name: name, count: 1000, whole: 1, bare: true, do: func(n int) {
		with.span(func(context.Context) {
			for ; n > 0; n-- {
				submit(task)
				<-done
			}
		})
	}}
}
