package rt

import (
	"syscall"
	"unsafe"
)

const (
	sysMemfdCreate     = 319
	sysArchPrctl       = 158
	archGetFS          = 0x1003
	sysProcessVMReadv  = 310
	usualTLSOffset     = -8
	threadBlockScanned = 512
)

// threadLocalG finds where a thread keeps its g pointer, from the thread pointer on. It is -8 but in programs that a C
// linker linked, where other thread-local variables lie in between; those words are read through the kernel, which fails
// instead of faulting.
//
//go:norace
func threadLocalG(slotOffset uintptr) (offset int64, found bool) {
	procPin() // the thread must stay the same
	g := uintptr(runtime_slot()) - slotOffset
	var base uintptr
	_, _, failure := syscall.RawSyscall(sysArchPrctl, archGetFS, uintptr(unsafe.Pointer(&base)), 0)
	var words [threadBlockScanned / 8]uintptr
	var read uintptr
	if failure == 0 && base != 0 {
		read = readOwnMemory(base, words[:])
	}
	procUnpin()
	for distance := uintptr(1); distance <= read; distance++ {
		if words[uintptr(len(words))-distance] == g {
			return -8 * int64(distance), true
		}
	}
	return 0, false
}

// readOwnMemory fills the end of words with the words below end, as many as can be read, and returns their number.
//
//go:norace
func readOwnMemory(end uintptr, words []uintptr) uintptr {
	type vector struct{ base, size uintptr }
	for count := uintptr(len(words)); count > 0; count /= 2 {
		local := vector{uintptr(unsafe.Pointer(&words[uintptr(len(words))-count])), 8 * count}
		remote := vector{end - 8*count, 8 * count}
		read, _, failure := syscall.RawSyscall6(sysProcessVMReadv, uintptr(syscall.Getpid()),
			uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
		if failure == 0 && read == 8*count {
			return count
		}
	}
	return 0
}

// clockIsCounter says whether the kernel itself takes the time from the processor's counter: then it runs at one speed, and
// is the same on every processor.
func clockIsCounter() bool {
	file, failure := syscall.Open("/sys/devices/system/clocksource/clocksource0/current_clocksource", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if failure != nil {
		return false
	}
	var name [16]byte
	size, _ := syscall.Read(file, name[:])
	syscall.Close(file)
	return size == 4 && string(name[:4]) == "tsc\n"
}
