package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// patience is how long a server may take until it answers, and a program until it ends.
	patience = time.Minute
	// between is the pause before it is asked again.
	between = 200 * time.Millisecond
)

// stage is where a program runs. Both sides have the same folder and the same ports, one after the other.
type stage struct {
	*workshop
	binary string
	dir    string
	ports  []int
	server *exec.Cmd
	ended  chan error
	said   bytes.Buffer
	memory int64 // the most that the server has used
}

// answer is what came of one step, with what differs from run to run taken out.
type answer struct {
	Step string `json:"step"`
	Text string `json:"text"`
}

// perform goes through the script with the binary of one side.
func (w *workshop) perform(binary string, ports []int) (answers []answer, memory int64, err error) {
	st := &stage{workshop: w, binary: binary, dir: filepath.Join(w.root, "run"), ports: ports}
	if err := os.RemoveAll(st.dir); err != nil {
		return nil, 0, err
	}
	for name, text := range w.Files {
		path := filepath.Join(st.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, 0, err
		}
		if err := os.WriteFile(path, []byte(st.fill(text)), 0o644); err != nil {
			return nil, 0, err
		}
	}
	if err := os.MkdirAll(st.dir, 0o755); err != nil {
		return nil, 0, err
	}
	defer st.kill()
	for _, each := range w.Script {
		text, err := st.do(each)
		if err != nil {
			return answers, st.memory, fmt.Errorf("%s: %w\n%s", each.title(), err, lastLines(st.said.String()))
		}
		answers = append(answers, answer{each.title(), w.stable(text)})
	}
	return answers, st.memory, nil
}

func (s step) title() string {
	switch {
	case s.Run != nil:
		return strings.TrimSpace("run " + strings.Join(s.Run, " "))
	case s.Start != nil:
		return strings.TrimSpace("start " + strings.Join(s.Start, " "))
	case s.HTTP != "":
		return s.HTTP
	case s.TCP != "":
		return "tcp " + s.TCP
	case s.Tree != "":
		return "files of " + s.Tree
	}
	return "stop"
}

// fill puts the folder and the ports into a text.
func (st *stage) fill(text string) string {
	text = strings.ReplaceAll(text, "{dir}", st.dir)
	for index, port := range st.ports {
		text = strings.ReplaceAll(text, fmt.Sprintf("{port%d}", index+1), strconv.Itoa(port))
	}
	return text
}

func (st *stage) fillAll(words []string) []string {
	filled := make([]string, len(words))
	for index, word := range words {
		filled[index] = st.fill(word)
	}
	return filled
}

func (st *stage) do(s step) (string, error) {
	switch {
	case s.Run != nil:
		return st.runOnce(s)
	case s.Start != nil:
		return "", st.start(s)
	case s.HTTP != "":
		return st.again(s.Until, func() (string, error) { return ask(st.fill(s.HTTP), st.fill(s.Send)) })
	case s.TCP != "":
		return st.again("", func() (string, error) { return talk(st.fill(s.TCP), s.Send, s.Until) })
	case s.Tree != "":
		return describeTree(filepath.Join(st.dir, s.Tree))
	}
	return st.stop()
}

func (st *stage) command(words []string) *exec.Cmd {
	command := exec.CommandContext(st.ctx, st.binary, st.fillAll(words)...)
	command.Dir, command.Env = st.dir, st.environment("HOME="+st.dir, "PWD="+st.dir)
	return command
}

func (st *stage) runOnce(s step) (string, error) {
	command := st.command(s.Run)
	var output, messages bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(s.Send), &output, &messages
	tooLong := time.AfterFunc(patience, func() { command.Process.Kill() })
	defer tooLong.Stop()
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		return "", err
	}
	return fmt.Sprintf("exit %d\n%s\n%s", command.ProcessState.ExitCode(), output.String(), messages.String()), nil
}

func (st *stage) start(s step) error {
	st.said.Reset()
	st.server, st.ended = st.command(s.Start), make(chan error, 1)
	st.server.Stdout, st.server.Stderr = &st.said, &st.said
	if err := st.server.Start(); err != nil {
		return err
	}
	server, ended := st.server, st.ended
	go func() { ended <- server.Wait() }()
	return nil
}

// again asks until there is an answer that contains the text, or the server has ended.
func (st *stage) again(until string, question func() (string, error)) (string, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(between) {
		text, err := question()
		if err == nil && strings.Contains(text, st.fill(until)) {
			return text, nil
		}
		if err == nil {
			err = fmt.Errorf("the answer does not contain %q: %s", until, text)
		}
		if st.ctx.Err() != nil || time.Now().After(deadline) {
			return "", err
		}
		select {
		case ended := <-st.ended:
			st.ended <- ended
			return "", fmt.Errorf("the server has ended: %v", ended)
		default:
		}
	}
}

func ask(request, body string) (string, error) {
	method, url, _ := strings.Cut(request, " ")
	question, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := client.Do(question)
	if err != nil {
		return "", err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		return "", err
	}
	got.Header.Del("Date")
	var headers []string
	for key, values := range got.Header {
		headers = append(headers, key+": "+strings.Join(values, ", "))
	}
	sort.Strings(headers)
	return fmt.Sprintf("%s %s\n%s\n\n%s", got.Proto, got.Status, strings.Join(headers, "\n"), text), nil
}

// talk sends a text over a connection and reads until the answer contains another.
func talk(address, send, until string) (string, error) {
	connection, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(connection, send); err != nil {
		return "", err
	}
	var got strings.Builder
	reader := bufio.NewReader(connection)
	for !strings.Contains(got.String(), until) {
		letter, err := reader.ReadByte()
		if err != nil {
			return "", fmt.Errorf("%w after %q", err, got.String())
		}
		got.WriteByte(letter)
	}
	return got.String(), nil
}

// describeTree is the names and hashes of all files below a folder.
func describeTree(dir string) (string, error) {
	var text strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&text, "%x %s\n", sha256.Sum256(content), strings.TrimPrefix(path, dir))
		return err
	})
	return text.String(), err
}

var mostMemory = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// stop ends the server as an operator would.
func (st *stage) stop() (string, error) {
	if st.server == nil {
		return "", errors.New("nothing was started")
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", st.server.Process.Pid))
	if found := mostMemory.FindSubmatch(status); found != nil {
		kilobytes, _ := strconv.ParseInt(string(found[1]), 10, 64)
		st.memory = kilobytes * 1024
	}
	st.server.Process.Signal(syscall.SIGTERM)
	select {
	case <-st.ended:
	case <-time.After(patience):
		return "", errors.New("it does not end when it is told to")
	}
	state := st.server.ProcessState
	st.server = nil
	return state.String(), nil
}

// kill ends a server that the script did not get to end.
func (st *stage) kill() {
	if st.server != nil {
		st.server.Process.Kill()
		<-st.ended
	}
}

// freePorts are ports that nobody listens on now.
func freePorts(count int) ([]int, error) {
	var ports []int
	for len(ports) < count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
