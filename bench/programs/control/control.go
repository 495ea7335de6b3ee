// Package control switches a woven program between its modes while it runs, by the control page that an agent would
// write, and stands in for the agent where none is wanted. It finds the shared memory among the process's own mappings;
// the layout is a copy of go/rt/layout.go that bench/run.sh makes.
package control

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Key is needed by the copied layout.
type Key uint16

// never is a threshold above every trace id's low 56 bits.
const never = 1 << 56

// Memory is the program's own shared memory.
type Memory struct {
	base    unsafe.Pointer
	header  *headerLayout
	control *controlLayout
	rings   []*ringLayout
}

// Open finds the memory. There is none in a program that was not woven, or when OTEL_SDK_DISABLED is set.
func Open() (*Memory, error) {
	base, err := find()
	if err != nil {
		return nil, err
	}
	header := (*headerLayout)(base)
	if header.magic != magic || header.layoutVersion != layoutVersion {
		return nil, fmt.Errorf("the shared memory has layout %d, this program knows %d", header.layoutVersion, layoutVersion)
	}
	memory := &Memory{base: base, header: header, control: (*controlLayout)(unsafe.Add(base, header.controlOffset))}
	for index := uint32(0); index < header.processorCount; index++ {
		at := uintptr(header.ringsOffset) + uintptr(index)*unsafe.Sizeof(ringLayout{})
		memory.rings = append(memory.rings, (*ringLayout)(unsafe.Add(base, at)))
	}
	return memory, nil
}

func find() (unsafe.Pointer, error) {
	start, found := mapping("/memfd:tandem ")
	if !found {
		return nil, fmt.Errorf("no shared memory: the program was not woven")
	}
	return *(*unsafe.Pointer)(unsafe.Pointer(&start)), nil
}

// HasKernelHalf says whether the agent has given the program an account map.
func HasKernelHalf() bool {
	_, found := mapping("bpf-map")
	return found
}

// mapping is the start of the first mapping with such a name.
func mapping(name string) (start uintptr, found bool) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, false
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if strings.Contains(lines.Text(), name) {
			_, err := fmt.Sscanf(lines.Text(), "%x-", &start)
			return start, err == nil
		}
	}
	return 0, false
}

// Dormant switches all hooks off.
func (m *Memory) Dormant() { m.set(controlPaused, 0) }

// Unsampled lets every new trace go unrecorded; its count is kept.
func (m *Memory) Unsampled() { m.set(controlSampling, never) }

// Traced records every new trace, as long as neither agent nor environment say anything else.
func (m *Memory) Traced() { m.set(0, 0) }

func (m *Memory) set(flags uint32, threshold uint64) {
	atomic.StoreUint64(&m.control.samplingThreshold, threshold)
	atomic.StoreUint32(&m.control.flags, flags)
}

// KeepAgentsAway takes the place of the reader, which is a lock on the shared memory, for the life of the program. An agent
// of this machine that looks for programs then passes this one by.
func (m *Memory) KeepAgentsAway() error {
	files, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return err
	}
	for _, path := range files {
		if target, _ := os.Readlink(path); !strings.HasPrefix(target, "/memfd:tandem ") {
			continue
		}
		file, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0) // a lock belongs to an open file: ours must be another one
		if err != nil {
			return err
		}
		if err := syscall.Flock(file, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return fmt.Errorf("an agent of this machine reads this program; stop it: %w", err)
		}
		return nil // the file stays open
	}
	return fmt.Errorf("no descriptor of the shared memory")
}

// Empty throws away what the rings hold. Only for programs that keep agents away: a ring has one reader.
func (m *Memory) Empty() {
	for _, ring := range m.rings {
		atomic.StoreUint64(&ring.tail, atomic.LoadUint64(&ring.head))
	}
}

// Waiting is how many bytes wait in the rings.
func (m *Memory) Waiting() (bytes uint64) {
	for _, ring := range m.rings {
		bytes += atomic.LoadUint64(&ring.head) - atomic.LoadUint64(&ring.tail)
	}
	return bytes
}

// Dropped is how many records found a ring full.
func (m *Memory) Dropped() (records uint64) {
	for _, ring := range m.rings {
		records += atomic.LoadUint64(&ring.dropped)
	}
	return records
}

// Written is how many bytes of records were ever written.
func (m *Memory) Written() (bytes uint64) {
	for _, ring := range m.rings {
		bytes += atomic.LoadUint64(&ring.head)
	}
	return bytes
}

// Recorded says whether most of so many requests left a record, if they should have; or hardly any, if not. A program
// whose libraries were not woven after all would be a fast one.
func Recorded(written, dropped uint64, requests int, should bool) error {
	records := written/uint64(unsafe.Sizeof(recordLayout{})) + dropped // at most
	if should && records < uint64(requests)/2 {
		return fmt.Errorf("%d requests left %d bytes of records and %d losses: was net/http woven?", requests, written, dropped)
	}
	if !should && records > uint64(requests)/2 {
		return fmt.Errorf("%d requests left %d bytes of records and %d losses, but should have left none", requests, written, dropped)
	}
	return nil
}
