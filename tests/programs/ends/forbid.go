package main

import (
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

// forbid becomes the program that arguments name, itself, in a world where memfd_create is refused, as some containers are.
func forbid(arguments []string) {
	const (
		loadNumber, jumpIfEqual, answer = 0x20, 0x15, 0x06
		refuse, allow                   = 0x00050000 | uint32(syscall.EPERM), 0x7fff0000
		noNewPrivileges, setSeccomp     = 38, 22
		filterMode                      = 2
	)
	memfdCreate := map[string]uint32{"amd64": 319, "arm64": 279}[runtime.GOARCH]
	filter := []instruction{
		{code: loadNumber},
		{code: jumpIfEqual, else_: 1, value: memfdCreate},
		{code: answer, value: refuse},
		{code: answer, value: allow},
	}
	program := struct {
		length uint16
		filter *instruction
	}{uint16(len(filter)), &filter[0]}
	runtime.LockOSThread()
	control(noNewPrivileges, 1, 0)
	control(setSeccomp, filterMode, uintptr(unsafe.Pointer(&program)))
	check(syscall.Exec(self(), append([]string{"ends"}, arguments...), os.Environ()))
}

func control(option, first, second uintptr) {
	if _, _, failure := syscall.RawSyscall6(syscall.SYS_PRCTL, option, first, second, 0, 0, 0); failure != 0 {
		panic(failure)
	}
}
