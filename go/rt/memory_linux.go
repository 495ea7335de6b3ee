//go:build linux && (amd64 || arm64)

package rt

import (
	"syscall"
	"unsafe"
)

const (
	memfdCloexec      = 1
	memfdAllowSealing = 2
	addSeals          = 1033
	sealSeal          = 1
	sealShrink        = 2
	sealGrow          = 4
	mapNoReserve      = 0x4000
	// Descriptors below this are left to the program, some of which count on getting 3 for their first file.
	firstDescriptor = 200
	clockRealtime   = 0
)

// makeMemory makes and maps the memfd. Where that is refused, the memory is our own, if somebody wants spans all the same, or
// everything stays off: a program must not notice.
func makeMemory(count uint32) unsafe.Pointer {
	if base := sharedMemory(count); base != nil {
		return base
	}
	return privateMemory(count)
}

func sharedMemory(count uint32) unsafe.Pointer {
	name := []byte("tandem\x00")
	descriptor, _, failure := syscall.Syscall(sysMemfdCreate, uintptr(unsafe.Pointer(&name[0])), memfdCloexec|memfdAllowSealing, 0)
	if failure != 0 {
		return withoutMemory("memfd_create", failure)
	}
	file := int(descriptor)
	if moved, _, failure := syscall.Syscall(syscall.SYS_FCNTL, descriptor, syscall.F_DUPFD_CLOEXEC, firstDescriptor); failure == 0 {
		syscall.Close(file)
		file = int(moved)
	}
	size := fileSize(count)
	if failure := syscall.Ftruncate(file, int64(size)); failure != nil {
		syscall.Close(file)
		return withoutMemory("ftruncate", failure)
	}
	// Sealed, the agent can map it without fear of being cut off. Refused seals are the agent's to judge.
	syscall.Syscall(syscall.SYS_FCNTL, uintptr(file), addSeals, sealSeal|sealShrink|sealGrow)
	base := mapShared(file, size, syscall.PROT_READ|syscall.PROT_WRITE)
	if base == nil {
		syscall.Close(file)
		return withoutMemory("mmap", syscall.ENOMEM)
	}
	memoryFile, memorySize = file, size
	layOut(base, count)
	return base
}

// ownRings takes the place of the rings' reader, which an agent has for as long as it lives: the lock belongs to the open
// file, and an agent opens the file anew. It returns false when there is an agent.
func ownRings() bool {
	return memoryFile < 0 || syscall.Flock(memoryFile, syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// disownRings makes room for an agent.
func disownRings() {
	if memoryFile >= 0 {
		syscall.Flock(memoryFile, syscall.LOCK_UN)
	}
}

// withoutMemory says why nothing is recorded: to the agent, so that somebody notices.
func withoutMemory(what string, failure error) unsafe.Pointer {
	if settings.endpoint {
		debug(what, ": ", failure.Error(), "; no agent can read what is recorded")
	} else {
		debug(what, ": ", failure.Error(), "; nothing is recorded")
	}
	if number, known := failure.(syscall.Errno); known {
		if socket := sendHello(startTimeout, number); socket >= 0 {
			syscall.Close(socket)
		}
	}
	return nil
}

// mapShared maps a file's first bytes, or returns nil.
func mapShared(file int, size uintptr, protection int) unsafe.Pointer {
	address, _, failure := syscall.Syscall6(syscall.SYS_MMAP, 0, size, uintptr(protection), syscall.MAP_SHARED|mapNoReserve, uintptr(file), 0)
	if failure != 0 {
		return nil
	}
	return *(*unsafe.Pointer)(unsafe.Pointer(&address)) // outside the heap: the garbage collector ignores it
}

func processID() int { return syscall.Getpid() }

// executableName is the base name of the program's file.
func executableName() string {
	var room [4096]byte
	size, failure := syscall.Readlink("/proc/self/exe", room[:])
	if failure != nil {
		return ""
	}
	name := string(room[:size])
	for index := len(name) - 1; index >= 0; index-- {
		if name[index] == '/' {
			return name[index+1:]
		}
	}
	return name
}

// clockPair reads both clocks at one moment.
func clockPair() (monotonic, realtime uint64) {
	var now syscall.Timespec
	before := nanotime()
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockRealtime, uintptr(unsafe.Pointer(&now)), 0)
	after := nanotime()
	return uint64(before + (after-before)/2), uint64(now.Sec)*1e9 + uint64(now.Nsec)
}

func writeStderr(line []byte) { syscall.Write(2, line) }
