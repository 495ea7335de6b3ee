package standalone

import "syscall"

// raise ends the program as Windows ends one that does not handle Ctrl-C.
func raise(syscall.Signal) {
	const controlCExit = 0xc000013a
	syscall.ExitProcess(controlCExit)
}
