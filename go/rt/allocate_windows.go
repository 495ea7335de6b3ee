//go:build windows && (amd64 || arm64)

package rt

import (
	"syscall"
	"unsafe"
)

var virtualAlloc = syscall.NewLazyDLL("kernel32.dll").NewProc("VirtualAlloc")

// allocate returns zeroed memory outside the heap, which the garbage collector ignores; nil: there is none.
func allocate(size uintptr) unsafe.Pointer {
	const commitAndReserve, readAndWrite = 0x3000, 4
	address, _, _ := virtualAlloc.Call(0, size, commitAndReserve, readAndWrite)
	return *(*unsafe.Pointer)(unsafe.Pointer(&address))
}
