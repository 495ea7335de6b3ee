//go:build unix && !(linux && (amd64 || arm64))

package rt

import "syscall"

func processID() int { return syscall.Getpid() }

// clockPair reads both clocks at one moment.
func clockPair() (monotonic, realtime uint64) {
	var now syscall.Timeval
	before := nanotime()
	syscall.Gettimeofday(&now)
	after := nanotime()
	return uint64(before + (after-before)/2), uint64(now.Nano())
}

func writeStderr(line []byte) { syscall.Write(2, line) }
