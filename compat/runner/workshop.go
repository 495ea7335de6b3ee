package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// workshop is a subject's source, with what is built from it.
type workshop struct {
	*runner
	*subject
	root    string // all of it
	source  string // where go is run
	version string // of the module, or of Go
}

// side is plain or woven.
type side int

const (
	plain side = iota
	woven
)

func (s side) String() string { return [...]string{"plain", "woven"}[s] }

// usage is what a command used, with all that it started and waited for.
type usage struct {
	CPU    float64 `json:"cpu"`    // seconds, user and system
	Memory int64   `json:"memory"` // bytes, of the largest process
}

func (r *runner) prepare(s *subject) (*workshop, error) {
	w := &workshop{runner: r, subject: s, root: filepath.Join(r.work, s.Name)}
	w.source = filepath.Join(w.root, "source")
	w.remove()
	if err := os.MkdirAll(w.source, 0o755); err != nil {
		return nil, err
	}
	if err := w.getSource(); err != nil {
		w.remove()
		return nil, fmt.Errorf("its source: %w", err)
	}
	if !s.Vendor {
		return w, nil
	}
	_, err := w.run(w.goCommand(plain, "mod", "vendor"))
	return w, err
}

// remove removes the work folder; the go command makes folders that cannot be written.
func (w *workshop) remove() {
	filepath.WalkDir(w.root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			os.Chmod(path, 0o755)
		}
		return nil
	})
	os.RemoveAll(w.root)
}

func (w *workshop) getSource() error {
	release, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return err
	}
	w.version = strings.TrimSpace(string(release))
	switch {
	case w.Module != "":
		_, w.version, _ = strings.Cut(w.Module, "@")
		return w.copyModule()
	case len(w.Requires) > 0:
		_, w.version, _ = strings.Cut(w.Requires[0], "@")
		return w.require()
	case w.Folder != "":
		return copyTree(filepath.Join(w.folder, "programs", w.Folder), w.source)
	}
	return w.writeModule()
}

// copyModule makes the module itself the main module, as its own developers have it.
func (w *workshop) copyModule() error {
	download := exec.CommandContext(w.ctx, "go", "mod", "download", "-json", w.Module)
	download.Dir, download.Env = w.root, w.environment("PWD="+w.root)
	output, err := download.Output()
	var module struct{ Dir, Error string }
	if broken := json.Unmarshal(output, &module); broken != nil || module.Error != "" || err != nil {
		return fmt.Errorf("go mod download %s: %v %s", w.Module, err, module.Error)
	}
	return copyTree(module.Dir, w.source)
}

// require makes a module that requires others, with their tests' needs.
func (w *workshop) require() error {
	if err := w.writeModule(); err != nil {
		return err
	}
	if w.Folder != "" {
		if err := copyTree(filepath.Join(w.folder, "programs", w.Folder), w.source); err != nil {
			return err
		}
	}
	for _, module := range w.Requires {
		path, version, _ := strings.Cut(module, "@")
		if _, err := w.run(w.goCommand(plain, "get", "-t", path+"/...@"+version)); err != nil {
			return err
		}
	}
	return nil
}

// writeModule writes a go.mod of this Go's language version: an older one would change settings (GODEBUG).
func (w *workshop) writeModule() error {
	release, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return err
	}
	numbers := strings.SplitN(strings.TrimPrefix(strings.TrimSpace(string(release)), "go"), ".", 3)
	text := fmt.Sprintf("module example.com/compat\n\ngo %s.%s\n", numbers[0], numbers[1])
	return os.WriteFile(filepath.Join(w.source, "go.mod"), []byte(text), 0o644)
}

// goCommand is the go command of a side, in the source's folder.
func (w *workshop) goCommand(s side, arguments ...string) *exec.Cmd {
	words := append([]string{"go"}, arguments...)
	if s == woven {
		words = append([]string{w.tandem}, words...)
	}
	command := exec.CommandContext(w.ctx, words[0], words[1:]...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.Dir = w.source
	command.Env = w.environment("TANDEM_CACHE=" + filepath.Join(w.root, "tandem"))
	return command
}

// environment is ours with changes. No agent is there on either side: spans are made, and dropped when a ring is full.
func (w *workshop) environment(more ...string) []string {
	own := []string{"TANDEM_SOCKET=" + filepath.Join(w.root, "no-agent.sock"), "PWD=" + w.source}
	if w.Go != "" {
		own = append(own, "GOTOOLCHAIN="+w.Go)
	}
	own = append(own, w.Env...)
	return append(append(os.Environ(), own...), more...)
}

// run runs a command that must succeed.
func (w *workshop) run(command *exec.Cmd) (usage, error) {
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return usage{}, fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, lastLines(output.String()))
	}
	return usageOf(command.ProcessState), nil
}

func usageOf(state *os.ProcessState) usage {
	used := usage{CPU: (state.UserTime() + state.SystemTime()).Seconds()}
	if resources, ok := state.SysUsage().(*syscall.Rusage); ok {
		used.Memory = resources.Maxrss * 1024
	}
	return used
}

// lastLines is enough of an output to understand a failure by.
func lastLines(text string) string {
	const most = 4000
	if len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return strings.TrimSpace(text)
}

// copyTree copies a folder so that it can be written.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, below)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, info.Mode().Perm()|0o200)
	})
}

// state is a copy of the caches of a build, from which others can go on.
func copyState(from, to string) error {
	output, err := exec.Command("cp", "-a", from, to).CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("cp -a: %w: %s", err, output)
	}
	return err
}
