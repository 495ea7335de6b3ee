package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// running is a program that was started and has printed its first line.
type running struct {
	process *exec.Cmd
	line    string // the first line it printed
	output  *bufio.Reader
	errors  *tail
	once    sync.Once
}

// start starts a program and waits for its first line.
func (b *bench) start(command []string, environment ...string) (*running, error) {
	r, err := b.launch(command, environment...)
	if err != nil {
		return nil, err
	}
	if r.line, err = r.next(4 * time.Minute); err != nil {
		r.stop()
		return nil, fmt.Errorf("%s: no first line: %w\n%s", strings.Join(command, " "), err, r.errors)
	}
	return r, nil
}

// launch starts a program.
func (b *bench) launch(command []string, environment ...string) (*running, error) {
	r := &running{process: exec.CommandContext(b.ctx, command[0], command[1:]...), errors: &tail{}}
	r.process.Env = append(os.Environ(), environment...)
	r.process.Cancel = func() error { return r.process.Process.Signal(syscall.SIGTERM) }
	r.process.WaitDelay = 5 * time.Second
	r.process.Stderr = r.errors
	output, err := r.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.process.Start(); err != nil {
		return nil, err
	}
	r.output = bufio.NewReader(output)
	return r, nil
}

// next is the next line that the program prints.
func (r *running) next(limit time.Duration) (string, error) {
	type read struct {
		line string
		err  error
	}
	lines := make(chan read, 1)
	go func() {
		line, err := r.output.ReadString('\n')
		lines <- read{strings.TrimSpace(line), err}
	}()
	select {
	case got := <-lines:
		return got.line, got.err
	case <-time.After(limit):
		return "", errors.New("it printed nothing in time")
	}
}

// figures waits for the program's figures and its end.
func (r *running) figures(ctx context.Context) (*figures, error) {
	line, err := r.next(4 * time.Minute)
	if err != nil {
		return nil, fmt.Errorf("no figures: %w\n%s", err, r.errors)
	}
	var found figures
	return &found, json.Unmarshal([]byte(line), &found)
}

// finish waits for the program's own end.
func (r *running) finish() (err error) {
	r.once.Do(func() {
		tooLong := time.AfterFunc(time.Minute, func() { r.process.Process.Kill() })
		io.Copy(io.Discard, r.output)
		if err = r.process.Wait(); err != nil {
			err = fmt.Errorf("%w\n%s", err, r.errors)
		}
		tooLong.Stop()
	})
	return err
}

// stop asks the program to end, and waits for it.
func (r *running) stop() {
	r.once.Do(func() {
		r.process.Process.Signal(syscall.SIGTERM)
		done := time.AfterFunc(10*time.Second, func() { r.process.Process.Kill() })
		io.Copy(io.Discard, r.output)
		r.process.Wait()
		done.Stop()
	})
}

// tail keeps the end of what is written to it.
type tail struct {
	lock sync.Mutex
	text []byte
}

func (t *tail) Write(text []byte) (int, error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.text = append(t.text, text...)
	if len(t.text) > 4096 {
		t.text = t.text[len(t.text)-4096:]
	}
	return len(text), nil
}

func (t *tail) String() string {
	t.lock.Lock()
	defer t.lock.Unlock()
	return string(t.text)
}

// processCPU is the CPU time that another process has used, in nanoseconds.
func processCPU(pid int) int64 {
	var now syscall.Timespec
	id := ^pid<<3 | 2 // the kernel's name for a process's scheduler clock
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

// threadsCPU is the CPU time of a process's threads, in nanoseconds, by their names.
func threadsCPU(pid int) map[string]float64 {
	times := map[string]float64{}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		name, err := os.ReadFile(filepath.Join(task, "comm"))
		if err != nil {
			continue // it has ended
		}
		var spent float64
		if text, err := os.ReadFile(filepath.Join(task, "schedstat")); err == nil {
			fmt.Sscan(string(text), &spent)
		}
		times[strings.TrimSpace(string(name))] += spent
	}
	return times
}

// state is what the hello server tells of itself.
type state struct {
	Process     int    `json:"process"`
	Requests    uint64 `json:"requests"`
	CPU         int64  `json:"cpu"`
	Allocations uint64 `json:"allocations"`
	Bytes       uint64 `json:"bytes"`
	KernelHalf  bool   `json:"kernel_half"`
}

func serverState(url string) (state, error) {
	var s state
	answer, err := http.Get(url + "/report")
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}
