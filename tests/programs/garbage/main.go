// Garbage is a program that has gone wrong in the worst way: it writes nonsense over the shared memory in which its own
// spans lie, while they are read, again and again, everywhere it can.
//
//	garbage
//
// It takes ten steps in peace, prints "ready", and reads a line. Then it writes garbage, taking more steps meanwhile,
// prints "done", and waits for the end of its standard input.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"syscall"
)

// Where things lie: docs/record-tables.md. They are written down again because a program like this has no business
// with Tandem's packages.
const (
	headerSize        = 4096
	offsetFileSize    = 16
	offsetControl     = 80
	offsetDescriptors = 88
	offsetEntries     = 112
	offsetSeries      = 120
	offsetRings       = 128
	offsetProcessors  = 156
	ringHeaderSize    = 256
	ringTail          = 128
	ringSize          = 160
	controlWritten    = 2048 // the program's half of the control page
	entrySize         = 2048
)

func main() {
	for number := 0; number < 10; number++ {
		step(number)
	}
	fmt.Println("ready")
	input := bufio.NewReader(os.Stdin)
	input.ReadString('\n')
	memory, err := mapped()
	if err != nil {
		fmt.Fprintln(os.Stderr, "garbage:", err)
		os.Exit(1)
	}
	random := rand.New(rand.NewSource(1))
	for round := 0; round < 400; round++ {
		scribble(memory, random, round)
		step(1000 + round)
	}
	fmt.Println("done")
	input.ReadString('\n')
}

//tandem:span step step.number=number
func step(number int) {}

// mapped returns this program's own shared memory.
func mapped() ([]byte, error) {
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		target, _ := os.Readlink(link)
		if target != "/memfd:tandem (deleted)" {
			continue
		}
		file, err := os.OpenFile(link, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		facts, err := file.Stat()
		if err != nil {
			return nil, err
		}
		return syscall.Mmap(int(file.Fd()), 0, int(facts.Size()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	}
	return nil, fmt.Errorf("there is no shared memory: the program is not woven")
}

// scribble writes garbage somewhere; the first page it leaves alone for long, as a reader looks there only once.
func scribble(memory []byte, random *rand.Rand, round int) {
	at := func(offset int) int { return int(binary.LittleEndian.Uint64(memory[offset:])) }
	rings, processors := at(offsetRings), int(binary.LittleEndian.Uint32(memory[offsetProcessors:]))
	switch {
	case round == 399:
		random.Read(memory[:headerSize])
	case round%8 == 0: // what is counted and registered
		random.Read(memory[at(offsetControl)+controlWritten:][:headerSize-controlWritten])
	case round%8 == 1:
		random.Read(memory[at(offsetDescriptors):][:headerSize])
	case round%8 == 2:
		random.Read(memory[at(offsetSeries):][:headerSize])
	case round%8 == 3:
		random.Read(memory[at(offsetEntries):][:8*entrySize])
	default: // a ring and its positions: slightly wrong, and utterly wrong
		processor := random.Intn(processors)
		header := memory[rings+processor*ringHeaderSize:]
		size := int(binary.LittleEndian.Uint32(memory[ringSize:]))
		begin := (rings + processors*ringHeaderSize + 4095) &^ 4095
		ring := memory[begin+processor*size:][:size]
		head := binary.LittleEndian.Uint64(header)
		for count := 0; count < 64; count++ {
			ring[random.Intn(size)] = byte(random.Intn(256))
		}
		from := int(head) & (size - 1)
		random.Read(ring[from:min(from+512, size)])
		binary.LittleEndian.PutUint64(header, head+uint64(8*random.Intn(64)))
		if round%50 == 7 {
			binary.LittleEndian.PutUint64(header, random.Uint64())
			binary.LittleEndian.PutUint64(header[ringTail:], random.Uint64())
		}
	}
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
