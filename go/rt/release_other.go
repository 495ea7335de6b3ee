//go:build !amd64

package rt

import "sync/atomic"

// storeRelease publishes what was written before it.
//
//go:norace
func storeRelease(place *uint64, value uint64) { atomic.StoreUint64(place, value) }
