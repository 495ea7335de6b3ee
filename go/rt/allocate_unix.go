//go:build (darwin || dragonfly || freebsd || linux || netbsd || openbsd) && (amd64 || arm64 || loong64 || ppc64le || riscv64)

package rt

import (
	"syscall"
	"unsafe"
)

// allocate returns zeroed memory outside the heap, which the garbage collector ignores; nil: there is none. What is not
// used costs nothing.
func allocate(size uintptr) unsafe.Pointer {
	memory, failure := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if failure != nil {
		return nil
	}
	return unsafe.Pointer(unsafe.SliceData(memory))
}
