//go:build !amd64

package runtime

import _ "unsafe"

// tandem_ticks is never called: nobody has allowed it.
//
//go:nosplit
//go:linkname tandem_ticks runtime.tandem_ticks
func tandem_ticks() uint64 { return 0 }
