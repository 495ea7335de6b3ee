package gateway

import (
	"fmt"
	"runtime/debug"

	"example.com/shop/internal/fault"
)

// This file is what the gateway does wrong when SHOP_FAULT asks for it.

type kept struct {
	next *kept
	name string
}

// Much is kept, in small pieces that the collector has to look at one by one,
// and it collects far more often than usual.
var memory []*kept

func keepMuch() {
	if !fault.Enabled(fault.GC) {
		return
	}
	debug.SetGCPercent(5)
	const lists, length = 1000, 1500
	for list := range lists {
		var head *kept
		for range length {
			head = &kept{next: head, name: fmt.Sprint(list)}
		}
		memory = append(memory, head)
	}
}

// makeGarbage allocates what nobody needs, for some of the customers.
func makeGarbage(user string) {
	if !fault.Hits(fault.GC, user) {
		return
	}
	var head *kept
	for i := range 200_000 {
		head = &kept{next: head, name: user}
		if i%64 == 0 {
			head = nil
		}
	}
}
