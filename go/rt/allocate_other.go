//go:build !((darwin || dragonfly || freebsd || linux || netbsd || openbsd) && (amd64 || arm64 || loong64 || ppc64le || riscv64)) && !(windows && (amd64 || arm64))

package rt

import "unsafe"

// The layout is that of machines with 64 bits and the low byte first.
func allocate(uintptr) unsafe.Pointer { return nil }
