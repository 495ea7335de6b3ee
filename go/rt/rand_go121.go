//go:build !go1.22

package rt

import _ "unsafe" // for linkname

// rand is wyrand in Go 1.21.
//
//go:linkname rand runtime.fastrand64
func rand() uint64
