package rt

// storeRelease publishes what was written before it. On amd64 every store does: the processor keeps their order, and so does
// the compiler, which never moves a store over another. The atomic package's store would wait until all of them have
// reached the cache, 30 to 60 ns when a record has just been copied.
//
//go:norace
func storeRelease(place *uint64, value uint64) { *place = value }
