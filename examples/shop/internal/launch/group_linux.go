package launch

import "syscall"

// ownGroup puts the child into a process group of its own and, should the
// launcher be killed, has the kernel stop it. The kernel watches the thread that
// started the child; Go ends a thread only with a goroutine locked to it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
