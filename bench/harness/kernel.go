package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// kernelPart: what the kernel half costs programs that it watches, and those that it does not. Two measurements of one
// process, whose watching is switched off and on meanwhile: the run time of the kernel half's programs, which the kernel
// counts, and the CPU time of a request.
func kernelPart(b *bench) (*outcome, error) {
	if _, err := os.ReadFile(statisticsSwitch); err != nil {
		return nil, errSkipped{"the kernel does not count the run time of eBPF programs"}
	}
	woven, err := b.build("kernel", true)
	if err != nil {
		return nil, err
	}
	plain, err := b.build("kernel", false)
	if err != nil {
		return nil, err
	}
	calling, err := b.build("calling", false)
	if err != nil {
		return nil, err
	}
	raw := map[string]*kernelFigures{}
	result := &outcome{Raw: raw}
	strangers, err := b.kernelForOthers(plain)
	if err != nil {
		return nil, err
	}
	raw["another program"] = &kernelFigures{Unwatched: *strangers}
	result.Rows = []row{{What: "HTTP server that was never watched: each switch of the machine", Unit: "ns", Value: strangers.each(onSwitch), Goal: atMost(ofValue, 25)}}
	for _, each := range b.workloads(woven, calling) {
		found, err := b.kernelCost(each, false)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", each.name, err)
		}
		raw[each.name] = found
		result.Rows = append(result.Rows, found.rows(each)...)
	}
	for _, each := range b.workloads(woven, calling) {
		if !each.detail {
			continue
		}
		found, err := b.kernelCost(each, true)
		if err != nil {
			return nil, fmt.Errorf("%s, in detail: %w", each.name, err)
		}
		raw[each.name+", in detail"] = found
		result.Rows = append(result.Rows, found.detailRows(each)...)
	}
	return result, nil
}

// workload is a program to be watched.
type workload struct {
	name      string
	arguments []string
	server    string // a program that it needs: its address is the last argument
	load      func(address string) []string
	saturated bool // it has a goal
	idle      bool
	detail    bool
}

func (b *bench) workloads(woven, calling string) []workload {
	return []workload{
		{name: "HTTP server", arguments: []string{woven, "http"}, saturated: true, detail: true, load: func(address string) []string {
			return []string{"wrk", "--threads", "1", "--connections", "32", "--duration", "10m", "http://" + address + "/hello"}
		}},
		{name: "gRPC server", arguments: []string{woven, "grpc"}, saturated: true, load: func(address string) []string { return []string{calling, address} }},
		{name: "Redis client", arguments: []string{woven, "redis"}, server: "redis-server"},
		{name: "system calls", arguments: []string{woven, "calls", filepath.Join(b.work, "calls")}, detail: true},
		{name: "idle program", arguments: []string{woven, "idle"}, idle: true},
	}
}

// kernelFigures is what was found of one program.
type kernelFigures struct {
	// CPU time each request, ns, by whether it was watched; twins have a '.
	CPU map[string][]float64 `json:"cpu"`
	// With the kernel's counts on: what happened while it was watched and while it was not.
	Watched   phase `json:"watched"`
	Unwatched phase `json:"unwatched"`
}

// phase adds up phases of one kind.
type phase struct {
	Done     float64        `json:"done"`
	CPU      float64        `json:"cpu_ns"`
	Switches float64        `json:"switches"` // of watched processes
	Programs map[string]ran `json:"programs"`
	Empty    ran            `json:"empty"` // a program that does nothing
}

const onSwitch = "on_switch"

func (b *bench) kernelCost(w workload, detail bool) (*kernelFigures, error) {
	arguments := w.arguments
	if w.server != "" {
		address, stop, err := b.startRedis(w.server)
		if err != nil {
			return nil, err
		}
		defer stop()
		arguments = append(slices.Clone(arguments), address)
	}
	command := b.agentRun(true, arguments...)
	if detail {
		command = slices.Insert(command, slices.Index(command, "--no-ui"), "--detail")
	}
	program, err := b.start(command, "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none")
	if err != nil {
		return nil, err
	}
	defer program.stop()
	counters, serves, _ := strings.Cut(program.line, " ")
	if w.load != nil {
		command := pinned(otherCore, w.load(serves)...)
		load := exec.CommandContext(b.ctx, command[0], command[1:]...)
		if err := load.Start(); err != nil {
			return nil, err
		}
		defer (&loading{load}).stop()
	}
	probe, err := findProbe(program.process.Process.Pid)
	if err != nil {
		return nil, err
	}
	defer probe.close()
	m := &kernelMeasurement{probe: probe, counters: "http://" + counters + "/count"}
	first, err := m.count()
	if err != nil {
		return nil, err
	}
	if m.watching, err = probe.of(first.Process); err != nil {
		return nil, err
	}
	defer m.watching.set(true)
	time.Sleep(pick(b, time.Second, 300*time.Millisecond)) // until it is warm
	found := &kernelFigures{CPU: map[string][]float64{}}
	if err := m.pairs(found, pick(b, 60, 3), pick(b, 100*time.Millisecond, 50*time.Millisecond)); err != nil {
		return nil, err
	}
	return found, m.counted(found, pick(b, 10, 2), pick(b, 200*time.Millisecond, 50*time.Millisecond))
}

// kernelForOthers is what the kernel half does while all that runs is strange to it: a saturated plain server, while an agent
// watches a program that sleeps.
func (b *bench) kernelForOthers(plain string) (*phase, error) {
	agent := exec.CommandContext(b.ctx, b.tandem, "run", "--no-ui", "--store", filepath.Join(b.work, "store"), "--", "sleep", "1000")
	agent.Cancel = func() error { return agent.Process.Signal(syscall.SIGTERM) }
	agent.WaitDelay = 5 * time.Second
	if err := agent.Start(); err != nil {
		return nil, err
	}
	defer (&loading{agent}).stop()
	server, err := b.start(pinned(serverCore, plain, "http"), b.noAgent())
	if err != nil {
		return nil, err
	}
	defer server.stop()
	_, serves, _ := strings.Cut(server.line, " ")
	load, err := b.startLoad("http://"+serves, "10m")
	if err != nil {
		return nil, err
	}
	defer load.stop()
	var probe *probe
	for attempt := 0; probe == nil; attempt++ {
		time.Sleep(200 * time.Millisecond)
		if probe, err = findProbe(agent.Process.Pid); err != nil && attempt == 50 {
			return nil, err
		}
	}
	defer probe.close()
	found := &phase{}
	return found, withStatistics(func(empty *emptyProgram) error {
		programs, nothing := probe.programs(), empty.ran()
		time.Sleep(pick(b, 4*time.Second, 200*time.Millisecond))
		found.add(probe.programs(), programs, empty.ran().since(nothing))
		return nil
	})
}

// withStatistics has the kernel count the run time of programs meanwhile, which costs something itself.
func withStatistics(do func(empty *emptyProgram) error) error {
	before, err := os.ReadFile(statisticsSwitch)
	if err != nil {
		return err
	}
	if err := os.WriteFile(statisticsSwitch, []byte("1"), 0o644); err != nil {
		return err
	}
	defer os.WriteFile(statisticsSwitch, before, 0o644)
	empty, err := attachEmpty()
	if err != nil {
		return err
	}
	defer empty.close()
	return do(empty)
}

// kernelMeasurement switches the watching of a program off and on.
type kernelMeasurement struct {
	probe    *probe
	watching *switched
	counters string
}

// counts are the program's own.
type counts struct {
	Process int     `json:"process"`
	Done    float64 `json:"done"`
	CPU     float64 `json:"cpu"`
}

func (m *kernelMeasurement) count() (now counts, err error) {
	answer, err := http.Get(m.counters)
	if err != nil {
		return now, err
	}
	defer answer.Body.Close()
	return now, json.NewDecoder(answer.Body).Decode(&now)
}

// during is what the program did in a phase.
func (m *kernelMeasurement) during(watched bool, lasting time.Duration) (done, cpu float64, err error) {
	if err := m.watching.set(watched); err != nil {
		return 0, 0, err
	}
	return m.phase(lasting)
}

// phase is what the program did in some time.
func (m *kernelMeasurement) phase(lasting time.Duration) (done, cpu float64, err error) {
	before, err := m.count()
	if err != nil {
		return 0, 0, err
	}
	// On a busy machine its load may get no CPU for a while.
	for after := before; ; {
		time.Sleep(lasting)
		if after, err = m.count(); err != nil {
			return 0, 0, err
		}
		if done = after.Done - before.Done; done > 0 {
			return done, after.CPU - before.CPU, nil
		}
		if lasting *= 2; lasting > 20*time.Second {
			return 0, 0, errors.New("it does nothing")
		}
	}
}

// pairs measures the CPU time of a request, each phase twice a round, in a new order each time.
func (m *kernelMeasurement) pairs(found *kernelFigures, rounds int, lasting time.Duration) error {
	cases := []struct {
		name    string
		watched bool
	}{{"watched", true}, {"watched'", true}, {"unwatched", false}, {"unwatched'", false}}
	for ; rounds > 0; rounds-- {
		for _, index := range rand.Perm(len(cases)) {
			each := cases[index]
			done, cpu, err := m.during(each.watched, lasting)
			if err != nil {
				return err
			}
			found.CPU[each.name] = append(found.CPU[each.name], cpu/done)
		}
	}
	return nil
}

// counted adds up the run time of the programs in phases of both kinds.
func (m *kernelMeasurement) counted(found *kernelFigures, rounds int, lasting time.Duration) error {
	return withStatistics(func(empty *emptyProgram) error {
		for ; rounds > 0; rounds-- {
			for _, watched := range []bool{true, false} {
				into := &found.Unwatched
				if watched {
					into = &found.Watched
				}
				if err := m.watching.set(watched); err != nil {
					return err
				}
				programs, nothing, switches := m.probe.programs(), empty.ran(), m.probe.switches()
				done, cpu, err := m.during(watched, lasting)
				if err != nil {
					return err
				}
				into.Switches += m.probe.switches() - switches
				into.add(m.probe.programs(), programs, empty.ran().since(nothing))
				into.Done += done
				into.CPU += cpu
			}
		}
		return nil
	})
}

func (p *phase) add(after, before map[string]ran, empty ran) {
	if p.Programs == nil {
		p.Programs = map[string]ran{}
	}
	for name, now := range after {
		more, sum := now.since(before[name]), p.Programs[name]
		p.Programs[name] = ran{sum.Runs + more.Runs, sum.Time + more.Time}
	}
	p.Empty = ran{p.Empty.Runs + empty.Runs, p.Empty.Time + empty.Time}
}

// spent is how long a program ran, without what measuring that takes.
func (p *phase) spent(name string) float64 {
	found := p.Programs[name]
	return max(0, found.Time-found.Runs*p.Empty.Time/max(1, p.Empty.Runs))
}

// each is the same, of one run.
func (p *phase) each(name string) float64 { return p.spent(name) / max(1, p.Programs[name].Runs) }

func (f *kernelFigures) rows(w workload) []row {
	watched, unwatched := &f.Watched, &f.Unwatched
	alone := unwatched.each(onSwitch)
	// What the runs for this program cost more than such for others.
	more := watched.spent(onSwitch) - watched.Programs[onSwitch].Runs*alone
	each := more + 2*watched.Switches*alone // it is looked at when it leaves a processor, and when it comes back
	rows := []row{
		{What: w.name + ": switches a request", Value: watched.Switches / watched.Done},
		{What: w.name + ": kernel half, each switch away and back", Unit: "ns", Value: each / max(1, watched.Switches)},
		{What: w.name + ": kernel half, each request", Unit: "ns", Value: each / watched.Done},
		{What: w.name + ": of its CPU time", Unit: "%", Value: 100 * each / watched.CPU},
	}
	if w.saturated {
		rows[3].Goal = atMost(ofValue, 1)
	}
	if w.idle {
		return []row{rows[1], rows[3]}
	}
	cpu := figures{Unit: "ns", Rounds: f.CPU}
	return append(rows, cpu.added(w.name+": CPU a request, watched", "watched", "unwatched", nil))
}

// detailRows are what the further programs cost, for watched programs and for others.
func (f *kernelFigures) detailRows(w workload) []row {
	rows := []row{}
	names := []string{}
	for name := range f.Watched.Programs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == onSwitch || f.Watched.Programs[name].Runs < 1000 {
			continue
		}
		rows = append(rows, row{What: w.name + ", in detail: " + name + ", each", Unit: "ns", Base: pointer(f.Unwatched.each(name)), Value: f.Watched.each(name)})
	}
	if len(rows) > 0 {
		rows[0].Note = "In detail, a program's base is its own run while the process is not watched."
	}
	cpu := figures{Unit: "ns", Rounds: f.CPU}
	return append(rows, cpu.added(w.name+", in detail: CPU a request, watched", "watched", "unwatched", nil))
}

// startRedis starts a server that keeps nothing.
func (b *bench) startRedis(name string) (address string, stop func(), err error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", nil, errSkipped{"no " + name + " command; install the package redis-server"}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = free.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	free.Close()
	command := pinned(otherCore, path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", b.work)
	server := exec.CommandContext(b.ctx, command[0], command[1:]...)
	if err := server.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		server.Process.Signal(syscall.SIGTERM)
		server.Wait()
	}
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if connection, err := net.Dial("tcp", address); err == nil {
			connection.Close()
			return address, stop, nil
		}
	}
	stop()
	return "", nil, fmt.Errorf("%s does not answer", name)
}
