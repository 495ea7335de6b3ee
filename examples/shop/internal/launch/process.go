package launch

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"example.com/shop/internal/service"
)

// stopTimeout is more than a service allows its requests to finish.
const stopTimeout = 15 * time.Second

// process is one service, the leader of a process group of its own: a Ctrl-C in
// the terminal reaches only the launcher, which stops the services in order.
type process struct {
	service string
	cmd     *exec.Cmd
	log     string        // The path of its log; empty: standard error.
	done    chan struct{} // Closed when the process has ended; err is set by then.
	err     error
}

// startProcess starts a service, by a command, with its listening socket. It takes over
// the log, which may be nil.
func startProcess(name string, command []string, env []string, listener, log *os.File) (*process, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.ExtraFiles = []*os.File{listener} // The first of them is descriptor 3.
	cmd.Env = append(slices.Clip(env), service.ListenVariable+"=3")
	cmd.Stderr = os.Stderr
	p := &process{service: name, cmd: cmd, done: make(chan struct{})}
	if log != nil {
		defer log.Close() // The child has its own descriptor.
		cmd.Stderr = log
		p.log = log.Name()
	}
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w (build the services with: go build -o bin ./cmd/... ./unwoven/...)", err)
		}
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// unexpected describes the end of a process that should be running.
func (p *process) unexpected() error {
	if p.err == nil {
		return fmt.Errorf("%s stopped by itself%s", p.service, p.lastLine())
	}
	return fmt.Errorf("%s failed: %w%s", p.service, p.err, p.lastLine())
}

// lastLine is the last thing that the process has logged, where that was to a file.
func (p *process) lastLine() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return fmt.Sprintf(" (%s: %s)", p.log, lines[len(lines)-1])
}

// stop asks the process to end, then makes it. A process that ended before is
// no failure here: Wait has reported it.
func (p *process) stop() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	p.signalGroup(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		p.signalGroup(syscall.SIGKILL)
		<-p.done
	}
	if p.err != nil {
		return fmt.Errorf("stop %s: %w", p.service, p.err)
	}
	return nil
}

func (p *process) signalGroup(signal syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, signal) // It ended meanwhile: what we want.
}
