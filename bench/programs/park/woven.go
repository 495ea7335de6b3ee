//go:build woven

package main

import (
	"example.com/bench/programs/paired"
	"tandem/rt"
)

var waiter = rt.NewOp("bench.park", "bench", rt.KindInternal, "park")

func cases() []paired.Case {
	with := paired.Case{Name: "with", Count: count, Do: func(n int) {
		toAndFro(n, func() func() { return rt.Start(waiter, nil).End })
	}}
	return []paired.Case{without(), with}
}
