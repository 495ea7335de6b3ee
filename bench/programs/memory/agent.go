package main

import (
	"fmt"
	"log"
	"os"
	"strings"
	"syscall"
	"time"

	"example.com/bench/programs/control"
)

// The agent is the parent process, `tandem run`. Stopped, it is as if there were none.

var (
	agent     = os.Getppid()
	suspended bool
)

func suspend() {
	if suspended {
		return
	}
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", agent))
	if os.Getppid() != agent || strings.TrimSpace(string(name)) != "tandem" {
		log.Fatal("the agent that started this program is gone")
	}
	syscall.Kill(agent, syscall.SIGSTOP)
	suspended = true
}

// resume lets the agent run again, and waits until it has caught up.
func resume(memory *control.Memory) {
	if suspended {
		syscall.Kill(agent, syscall.SIGCONT)
		suspended = false
	}
	for limit := time.Now().Add(time.Second); memory.Waiting() > 0 && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
}
