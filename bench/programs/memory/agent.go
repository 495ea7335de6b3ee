package main

import (
	"os"
	"syscall"
	"time"

	"example.com/bench/programs/control"
)

// The agent is the parent process, `tandem run`. Stopped, it is as if there were none.

var suspended bool

func suspend() {
	if !suspended {
		syscall.Kill(os.Getppid(), syscall.SIGSTOP)
		suspended = true
	}
}

// resume lets the agent run again, and waits until it has caught up.
func resume(memory *control.Memory) {
	if suspended {
		syscall.Kill(os.Getppid(), syscall.SIGCONT)
		suspended = false
	}
	for limit := time.Now().Add(time.Second); memory.Waiting() > 0 && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
}
