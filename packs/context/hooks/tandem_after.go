package context

import tandem_rt "tandem/rt"

// tandemCarried gives f the span that is current here: the context's, or the goroutine's where that is closer. Else f
// stays as it is, and starts with nothing.
func tandemCarried(ctx Context, f func()) func() {
	carried := tandem_rt.Carry(tandem_rt.FromContext(ctx))
	if carried == nil || f == nil {
		return f
	}
	return func() {
		tandem_rt.Resume(carried)
		f()
	}
}
