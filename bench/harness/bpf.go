package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

// What the kernel tells of an agent's eBPF programs and maps, and how the harness switches the looks at one process off
// and on: by its entry in the agent's map of processes. The kernel half exists on amd64 only, and so does this.

const (
	bpfMapLookup     = 1
	bpfMapUpdate     = 2
	bpfMapDelete     = 3
	bpfProgramLoad   = 5
	bpfMapByID       = 14
	bpfObjectInfo    = 15
	bpfTracepoint    = 17
	bpfRawTracepoint = 17 // a type of programs
)

func bpf[T any](command uintptr, attributes *T) (int, error) {
	result, _, failure := syscall.Syscall(321, command, uintptr(unsafe.Pointer(attributes)), unsafe.Sizeof(*attributes))
	if failure != 0 {
		return -1, failure
	}
	return int(result), nil
}

// probe is an agent's kernel half.
type probe struct {
	agent     int
	processes *kernelMap
	counts    *kernelMap
}

// kernelMap is one of its maps.
type kernelMap struct {
	file  int
	value int // bytes
}

const (
	hashMap          = 1
	perProcessorMap  = 6
	watchedProcesses = 4096
)

func findProbe(agent int) (*probe, error) {
	found := &probe{agent: agent}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", agent))
	for _, file := range files {
		facts := describes(file)
		id, is := facts["map_id"]
		if !is {
			continue
		}
		var place **kernelMap
		switch {
		case facts["map_type"] == hashMap && facts["key_size"] == 4 && facts["max_entries"] == watchedProcesses:
			place = &found.processes
		case facts["map_type"] == perProcessorMap:
			place = &found.counts
		default:
			continue
		}
		descriptor, err := bpf(bpfMapByID, &[4]uint32{uint32(id)})
		if err != nil {
			return nil, fmt.Errorf("opening a map of the agent's: %w", err)
		}
		*place = &kernelMap{descriptor, int(facts["value_size"])}
	}
	if found.processes == nil || found.counts == nil {
		return nil, errSkipped{"the agent has no kernel half here; `tandem doctor` says why"}
	}
	return found, nil
}

func (p *probe) close() {
	syscall.Close(p.processes.file)
	syscall.Close(p.counts.file)
}

type element struct {
	file  uint32
	_     uint32
	key   unsafe.Pointer
	value unsafe.Pointer
	flags uint64
}

func (m *kernelMap) get(key uint32, size int) ([]byte, error) {
	value := make([]byte, size)
	_, err := bpf(bpfMapLookup, &element{file: uint32(m.file), key: unsafe.Pointer(&key), value: unsafe.Pointer(&value[0])})
	return value, err
}

// switched is the watching of one process, off and on.
type switched struct {
	probe *probe
	pid   uint32
	entry []byte
	on    bool
}

func (p *probe) of(pid int) (*switched, error) {
	entry, err := p.processes.get(uint32(pid), p.processes.value)
	if err != nil {
		return nil, fmt.Errorf("process %d is not watched: %w", pid, err)
	}
	return &switched{p, uint32(pid), entry, true}, nil
}

func (s *switched) set(on bool) error {
	if on == s.on {
		return nil
	}
	s.on = on
	which := &element{file: uint32(s.probe.processes.file), key: unsafe.Pointer(&s.pid)}
	if !on {
		entry, err := s.probe.processes.get(s.pid, s.probe.processes.value) // it may have learnt something
		if err != nil {
			return err
		}
		s.entry = entry
		_, err = bpf(bpfMapDelete, which)
		return err
	}
	which.value = unsafe.Pointer(&s.entry[0])
	_, err := bpf(bpfMapUpdate, which)
	return err
}

// switches is how often threads of watched processes have left a processor.
func (p *probe) switches() (sum float64) {
	size := (p.counts.value + 7) &^ 7
	values, err := p.counts.get(0, size*possibleProcessors())
	if err != nil {
		return 0
	}
	for at := 0; at < len(values); at += size {
		sum += float64(*(*uint64)(unsafe.Pointer(&values[at])))
	}
	return sum
}

func possibleProcessors() int {
	text, _ := os.ReadFile("/sys/devices/system/cpu/possible")
	last := strings.TrimSpace(string(text))
	last = last[strings.LastIndexAny(last, "-,")+1:]
	count := 0
	fmt.Sscan(last, &count)
	return count + 1
}

// ran is how often a program ran, and for how long, ns.
type ran struct {
	Runs float64 `json:"runs"`
	Time float64 `json:"ns"`
}

func (r ran) since(before ran) ran { return ran{r.Runs - before.Runs, r.Time - before.Time} }

// programs are those that an agent has loaded, by name.
func (p *probe) programs() map[string]ran {
	found, seen := map[string]ran{}, map[float64]bool{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", p.agent))
	for _, file := range files {
		id := describes(file)["prog_id"]
		if id == 0 || seen[id] {
			continue
		}
		seen[id] = true
		program, err := openProgram(uint32(id))
		if err != nil {
			continue
		}
		counts := describes(fmt.Sprintf("/proc/self/fdinfo/%d", program))
		name := programName(program)
		found[name] = ran{found[name].Runs + counts["run_cnt"], found[name].Time + counts["run_time_ns"]} // it may be loaded twice
		syscall.Close(program)
	}
	return found
}

func programName(program int) string {
	var info [128]byte
	const name = 64
	_, err := bpf(bpfObjectInfo, &struct {
		file, size uint32
		info       unsafe.Pointer
	}{uint32(program), uint32(len(info)), unsafe.Pointer(&info)})
	if err != nil {
		return ""
	}
	return string(bytes.TrimRight(info[name:name+16], "\x00"))
}

// emptyProgram runs at each switch and does nothing: its run time is what measuring takes.
type emptyProgram struct{ program, link int }

func attachEmpty() (*emptyProgram, error) {
	instructions := [2]uint64{0xb7, 0x95} // r0 = 0; exit
	license, tracepoint := []byte("GPL\x00"), []byte("sched_switch\x00")
	program, err := bpf(bpfProgramLoad, &struct {
		kind, count           uint32
		instructions, license unsafe.Pointer
		rest                  [12]uint64
	}{kind: bpfRawTracepoint, count: 2, instructions: unsafe.Pointer(&instructions), license: unsafe.Pointer(&license[0])})
	if err != nil {
		return nil, fmt.Errorf("loading an empty program: %w", err)
	}
	link, err := bpf(bpfTracepoint, &struct {
		name unsafe.Pointer
		file uint32
		_    uint32
	}{name: unsafe.Pointer(&tracepoint[0]), file: uint32(program)})
	if err != nil {
		syscall.Close(program)
		return nil, errors.Join(errors.New("attaching an empty program"), err)
	}
	return &emptyProgram{program, link}, nil
}

func (e *emptyProgram) ran() ran {
	counts := describes(fmt.Sprintf("/proc/self/fdinfo/%d", e.program))
	return ran{counts["run_cnt"], counts["run_time_ns"]}
}

func (e *emptyProgram) close() {
	syscall.Close(e.link)
	syscall.Close(e.program)
}
