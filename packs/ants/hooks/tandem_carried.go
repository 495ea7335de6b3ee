package ants

import tandem_rt "tandem/rt"

// tandemCarried is the context of the task that a worker is given. Who gives it has the worker for himself, and the task
// goes through a channel after it.
type tandemCarried struct{ span *tandem_rt.Span }

func (c *tandemCarried) take() { c.span = tandem_rt.Carry(nil) }

// resume makes it current on the worker, whose goroutine has none of its own.
func (c *tandemCarried) resume() {
	tandem_rt.Resume(c.span)
	c.span = nil
}
