package runtime

import _ "unsafe"

// tandem_ticks reads the processor's counter. It does not wait for what comes before it, as the clock does: what it is
// early by, some ns, is less than what reading the clock takes.
//
//go:linkname tandem_ticks runtime.tandem_ticks
func tandem_ticks() uint64
