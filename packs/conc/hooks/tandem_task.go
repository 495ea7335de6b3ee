package pool

import tandem_rt "tandem/rt"

// tandemTask gives the task the span that is current here, wherever it runs.
func tandemTask(f func()) func() {
	carried := tandem_rt.Carry(nil)
	if carried == nil || f == nil {
		return f
	}
	return func() {
		tandem_rt.Resume(carried)
		f()
		tandem_rt.Restore(nil)
	}
}
