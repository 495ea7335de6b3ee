package main

import (
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// startPart: the whole life of a program that does nothing, from its start until it was waited for: plain, and woven without
// an agent, with one, and with its kernel half. What is compared are the wall time and the CPU time of the process.
func startPart(b *bench) (*outcome, error) {
	plain, err := b.build("start", false)
	if err != nil {
		return nil, err
	}
	woven, err := b.build("start", true)
	if err != nil {
		return nil, err
	}
	agent, err := b.machineAgent("agent", "--no-kernel")
	if err != nil {
		return nil, err
	}
	defer agent.stop()
	kernel, err := b.machineAgent("kernel")
	if err != nil {
		return nil, err
	}
	defer kernel.stop()
	lives := []life{
		{name: "plain", binary: plain},
		{name: "no agent", binary: woven, environment: []string{b.noAgent()}},
		{name: "agent", binary: woven, environment: []string{"TANDEM_SOCKET=" + agent.socket}},
		{name: "agent and kernel half", binary: woven, environment: []string{"TANDEM_SOCKET=" + kernel.socket}},
	}
	wall, cpu := newFigures("ms"), newFigures("ms")
	if err := b.takeTurns(lives, pick(b, 300, 5), wall, cpu); err != nil {
		return nil, err
	}
	result := &outcome{Raw: map[string]any{"wall": wall, "cpu": cpu}}
	for _, one := range lives[1:] {
		result.Rows = append(result.Rows,
			wall.added("start to end, woven, "+one.name, one.name, "plain", atMost(ofDifference, 1)),
			cpu.added("its CPU, woven, "+one.name, one.name, "plain", nil))
	}
	return result, nil
}

// takeTurns runs each program so many times, and each as often again as a control, in random order.
func (b *bench) takeTurns(lives []life, rounds int, wall, cpu *figures) error {
	for ; rounds > 0; rounds-- {
		for _, index := range rand.Perm(2 * len(lives)) {
			one := lives[index%len(lives)]
			name := one.name
			if index >= len(lives) {
				name += "'"
			}
			took, spent, err := one.live(b)
			if err != nil {
				return err
			}
			wall.Rounds[name] = append(wall.Rounds[name], took)
			cpu.Rounds[name] = append(cpu.Rounds[name], spent)
		}
	}
	return nil
}

func newFigures(unit string) *figures { return &figures{Unit: unit, Rounds: map[string][]float64{}} }

// life is a way to run the program once.
type life struct {
	name        string
	binary      string
	environment []string
}

// live runs it, and returns how long it took and the CPU time that it has used, in milliseconds.
func (l *life) live(b *bench) (took, spent float64, err error) {
	process := exec.CommandContext(b.ctx, l.binary)
	process.Env = append(os.Environ(), l.environment...)
	started := time.Now()
	if err := process.Run(); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", l.name, err)
	}
	took = time.Since(started).Seconds() * 1e3
	return took, (process.ProcessState.UserTime() + process.ProcessState.SystemTime()).Seconds() * 1e3, nil
}

// machineAgent is an agent for any program, on a socket of its own.
type machineAgent struct {
	socket  string
	process *exec.Cmd
}

func (b *bench) machineAgent(name string, arguments ...string) (*machineAgent, error) {
	agent := &machineAgent{socket: filepath.Join(b.work, name+".sock")}
	store := filepath.Join(b.work, name+"-store")
	command := append([]string{"agent", "--no-ui", "--store", store, "--socket", agent.socket}, arguments...)
	agent.process = exec.CommandContext(b.ctx, b.tandem, command...)
	agent.process.Cancel = func() error { return agent.process.Process.Signal(syscall.SIGTERM) }
	complaints := &tail{}
	agent.process.Stderr = complaints
	if err := agent.process.Start(); err != nil {
		return nil, err
	}
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(agent.socket); err == nil {
			return agent, nil
		}
	}
	agent.stop()
	return nil, fmt.Errorf("the agent does not listen at %s\n%s", agent.socket, complaints)
}

func (a *machineAgent) stop() {
	a.process.Process.Signal(syscall.SIGTERM)
	a.process.Wait()
}
