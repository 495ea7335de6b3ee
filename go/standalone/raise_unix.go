//go:build unix

package standalone

import "syscall"

// raise ends the program by a signal that nobody handles.
func raise(number syscall.Signal) {
	syscall.Kill(syscall.Getpid(), number)
	select {}
}
