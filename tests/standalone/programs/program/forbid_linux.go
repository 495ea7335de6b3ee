package main

import (
	"log"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// instruction is one of the kernel's classic BPF.
type instruction struct {
	code        uint16
	then, else_ uint8
	value       uint32
}

// forbid starts the program again, where memfd_create is refused, as in some containers.
func forbid() {
	const (
		loadNumber, jumpIfEqual, answer = 0x20, 0x15, 0x06
		refuse, allow                   = 0x00050000 | uint32(syscall.EPERM), 0x7fff0000
		noNewPrivileges, setSeccomp     = 38, 22
		filterMode                      = 2
	)
	number := map[string]uint32{"amd64": 319, "arm64": 279}[runtime.GOARCH]
	filter := []instruction{
		{code: loadNumber},
		{code: jumpIfEqual, else_: 1, value: number},
		{code: answer, value: refuse},
		{code: answer, value: allow},
	}
	rules := struct {
		length uint16
		filter *instruction
	}{uint16(len(filter)), &filter[0]}
	runtime.LockOSThread()
	for _, words := range [][2]uintptr{{noNewPrivileges, 1}, {setSeccomp, filterMode}} {
		last := uintptr(0)
		if words[0] == setSeccomp {
			last = uintptr(unsafe.Pointer(&rules))
		}
		if _, _, failure := syscall.RawSyscall6(syscall.SYS_PRCTL, words[0], words[1], last, 0, 0, 0); failure != 0 {
			log.Fatal(failure)
		}
	}
	log.Fatal(syscall.Exec("/proc/self/exe", []string{"program", "exit", "4"}, os.Environ()))
}
