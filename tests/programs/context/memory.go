package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// memory is the program's own shared memory, seen as its reader sees it (docs/record-tables.md): to make no more spans
// than are read, since one that is lost has no parent, and to count those that are open.
type memory struct {
	bytes                   []byte
	rings, processors, size int
	entries, entryCount     int
}

// mapMemory maps it; nil: the program is not woven.
func mapMemory() *memory {
	links, err := filepath.Glob("/proc/self/fd/*")
	check(err)
	for _, link := range links {
		if target, _ := os.Readlink(link); target != "/memfd:tandem (deleted)" {
			continue
		}
		file, err := os.Open(link)
		check(err)
		facts, err := file.Stat()
		check(err)
		bytes, err := syscall.Mmap(int(file.Fd()), 0, int(facts.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
		check(err)
		check(file.Close())
		number := func(offset int) int { return int(binary.LittleEndian.Uint32(bytes[offset:])) }
		return &memory{bytes: bytes, rings: number(128), processors: number(156), size: number(160), entries: number(112), entryCount: number(148)}
	}
	return nil
}

func (m *memory) position(offset int) uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&m.bytes[offset])))
}

// wait returns when no ring is more than a quarter full.
func (m *memory) wait() {
	if m == nil {
		return
	}
	for processor := 0; processor < m.processors; processor++ {
		ring := m.rings + processor*256
		for m.position(ring)-m.position(ring+128) > uint64(m.size/4) {
			time.Sleep(time.Millisecond)
		}
	}
}

// open counts the spans that have begun and not ended.
func (m *memory) open() (count int64) {
	if m == nil {
		return 0
	}
	for entry := 0; entry < m.entryCount; entry++ {
		if atomic.LoadUint32((*uint32)(unsafe.Pointer(&m.bytes[m.entries+entry*2048]))) != 0 {
			count++
		}
	}
	return count
}

// dropped counts the records that found a ring full.
func (m *memory) dropped() (count int64) {
	if m == nil {
		return 0
	}
	for processor := 0; processor < m.processors; processor++ {
		count += int64(m.position(m.rings + processor*256 + 8))
	}
	return count
}

// resident is the memory that the program alone has in use, in bytes.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/status")
	check(err)
	for _, line := range strings.Split(string(text), "\n") {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "RssAnon:" {
			kilobytes, err := strconv.ParseInt(words[1], 10, 64)
			check(err)
			return kilobytes << 10
		}
	}
	return 0
}
