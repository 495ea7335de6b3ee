package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// stopTimeout is more than a service allows its requests to finish.
const stopTimeout = 15 * time.Second

// process is one service, the leader of a process group of its own: a Ctrl-C in
// the terminal reaches only the launcher, which stops the services in order.
type process struct {
	service string
	cmd     *exec.Cmd
	done    chan struct{} // Closed when the process has ended; err is set by then.
	err     error
}

// startProcess starts the service. It takes over the log, which may be nil.
func startProcess(service, path string, env []string, log *os.File) (*process, error) {
	cmd := exec.Command(path)
	cmd.Env = env
	cmd.Stderr = os.Stderr
	if log != nil {
		defer log.Close() // The child has its own descriptor.
		cmd.Stderr = log
	}
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w (build the services with: go build -o bin ./cmd/...)", err)
		}
		return nil, fmt.Errorf("start %s: %w", service, err)
	}
	p := &process{service: service, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// unexpected describes the end of a process that should be running.
func (p *process) unexpected() error {
	if p.err == nil {
		return fmt.Errorf("%s stopped by itself", p.service)
	}
	return fmt.Errorf("%s failed: %w", p.service, p.err)
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
