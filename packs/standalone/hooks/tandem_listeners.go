package signal

import (
	"os"

	tandem_rt "tandem/rt"
)

var _ = tandem_rt.CountSignals()

// tandemListeners counts the channels that a signal is about to be delivered to, those that are being stopped too.
func tandemListeners(sig os.Signal) {
	number := signum(sig)
	if number < 0 {
		return
	}
	handlers.Lock()
	listeners := handlers.ref[number]
	for _, stopped := range handlers.stopping {
		if stopped.h.want(number) {
			listeners++
		}
	}
	handlers.Unlock()
	tandem_rt.SignalDelivered(number, listeners)
}
