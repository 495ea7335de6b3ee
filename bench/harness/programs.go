package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	serverCore = "0" // what is measured runs here
	otherCore  = "1" // everything else runs here
)

// build builds one of bench/programs, plain or woven, and returns the binary's path. Flags are for the go command.
func (b *bench) build(name string, woven bool, flags ...string) (string, error) {
	kind, command := "plain", []string{"go", "build"}
	if woven {
		kind, command = "woven", []string{b.tandem, "go", "build", "-tags", "woven"}
	}
	binary, err := filepath.Abs(b.raw(filepath.Join("bin", strings.Join(append([]string{name, kind}, flags...), ""))))
	if err != nil {
		return "", err
	}
	command = append(append(command, flags...), "-o", binary, "./"+name)
	build := exec.CommandContext(b.ctx, command[0], command[1:]...)
	build.Dir = filepath.Join(b.folder, "programs")
	started := time.Now()
	output, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, output)
	}
	if len(output) > 0 {
		b.say("%s: %s", name, output)
	}
	if took := time.Since(started); took > 3*time.Second {
		b.say("built %s (%s) in %.0f s", name, kind, took.Seconds())
	}
	return binary, nil
}

// layout are the flags for one random order of functions in the binary: how code happens to lie moves figures more than
// what is measured here.
func layout(number int) []string {
	return []string{fmt.Sprintf("-ldflags=-randlayout=%d", number)}
}

// pinned is a command that runs on one core.
func pinned(core string, command ...string) []string {
	return append([]string{"taskset", "-c", core}, command...)
}

// agentRun is a command that runs a program under an agent, each on its core. Each has an empty store; the one before it
// is thrown away.
func (b *bench) agentRun(kernel bool, program ...string) []string {
	store := filepath.Join(b.work, "store")
	os.RemoveAll(store)
	command := []string{b.tandem, "run", "--no-ui", "--store", store}
	if !kernel {
		command = append(command, "--no-kernel")
	}
	return pinned(otherCore, append(append(command, "--"), pinned(serverCore, program...)...)...)
}

// figures are what a paired program prints.
type figures struct {
	Unit   string               `json:"unit"`
	Rounds map[string][]float64 `json:"rounds"`
	Counts map[string]float64   `json:"counts"`
}

// of is a case with its twin.
func (f *figures) of(name string) series { return series{f.Rounds[name], f.Rounds[name+"'"]} }

// measure runs a paired program to its end and reads its figures.
func (b *bench) measure(command []string, environment ...string) (*figures, error) {
	ctx, cancel := context.WithTimeout(b.ctx, 3*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, command[0], command[1:]...)
	run.Env = append(os.Environ(), environment...)
	run.Cancel = func() error { return run.Process.Signal(syscall.SIGTERM) }
	run.WaitDelay = 5 * time.Second
	var complaints bytes.Buffer
	run.Stderr = &complaints
	output, err := run.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, complaints.String())
	}
	var found figures
	if err := json.Unmarshal(output, &found); err != nil {
		return nil, fmt.Errorf("%s printed no figures: %w\n%s", strings.Join(command, " "), err, complaints.String())
	}
	return &found, nil
}

// noAgent keeps a woven program from finding an agent of this machine.
func (b *bench) noAgent() string { return "TANDEM_SOCKET=" + filepath.Join(b.work, "nobody") }
