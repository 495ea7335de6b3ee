package rt

import "syscall"

func processID() int { return syscall.Getpid() }

// clockPair reads both clocks at one moment.
func clockPair() (monotonic, realtime uint64) {
	var now syscall.Filetime
	before := nanotime()
	syscall.GetSystemTimeAsFileTime(&now)
	after := nanotime()
	return uint64(before + (after-before)/2), uint64(now.Nanoseconds())
}

func writeStderr(line []byte) { syscall.Write(syscall.Stderr, line) }
