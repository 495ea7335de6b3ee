//go:build !plan9

package standalone

import (
	"os"
	"os/signal"
	"syscall"

	"tandem/rt"
)

// A signal that would end the program is held up until what is finished was sent, and is then raised again, so that the end is
// the plain one. It is left to the program where that handles it itself, now or later: os/signal counts for us, at the moment
// of delivery, who else was listening.

// watchSignals is for programs: in a library, signals are the host's.
func (e *exporter) watchSignals() {
	if rt.IsLibrary() || !rt.SignalsAreCounted() {
		return
	}
	arrived := make(chan os.Signal, 4)
	previous := rt.Unset() // the goroutine of os/signal may be started here
	watched := false
	for _, wanted := range [...]os.Signal{syscall.SIGTERM, os.Interrupt} {
		if !signal.Ignored(wanted) {
			signal.Notify(arrived, wanted)
			watched = true
		}
	}
	rt.Restore(previous)
	if watched {
		e.startMuted(func() { e.obey(arrived) })
	}
}

// obey ends the program as a signal would have.
func (e *exporter) obey(arrived chan os.Signal) {
	for received := range arrived {
		number, known := received.(syscall.Signal)
		if !known || rt.SignalListeners(int(number)) > 1 {
			continue
		}
		e.close()
		flushed := make(chan struct{})
		go func() {
			e.flush()
			close(flushed)
		}()
		select {
		case <-flushed:
		case <-arrived: // somebody does not want to wait
		}
		signal.Stop(arrived)
		raise(number)
	}
}
