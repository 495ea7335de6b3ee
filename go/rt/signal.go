package rt

import "sync/atomic"

// What the woven os/signal tells tandem/standalone: how many channels a signal was delivered to.

var (
	signalsCounted  bool
	signalListeners [128]int64
)

// CountSignals says that os/signal is woven. It is for its initialiser.
func CountSignals() bool {
	signalsCounted = true
	return true
}

// SignalsAreCounted says whether SignalListeners knows anything.
func SignalsAreCounted() bool { return signalsCounted }

// IsLibrary says whether signals are those of somebody else's program.
func IsLibrary() bool { return runtime_library() }

// SignalDelivered is called when a signal is about to be delivered to so many channels.
func SignalDelivered(number int, listeners int64) {
	if number >= 0 && number < len(signalListeners) {
		atomic.StoreInt64(&signalListeners[number], listeners)
	}
}

// SignalListeners is how many channels got the latest signal of a number.
func SignalListeners(number int) int64 {
	if number < 0 || number >= len(signalListeners) {
		return 0
	}
	return atomic.LoadInt64(&signalListeners[number])
}
