package control

import (
	"fmt"
	"strings"
	"sync/atomic"
	"unsafe"
)

// entry is the one of the table of active functions that is used here.
const entry = 1

// Function is a function of the program that was woven dormant.
type Function struct {
	number uint32
	word   *uint16
	active *activeLayout
}

// Function finds a function by its name within its package.
func (m *Memory) Function(name string) (*Function, error) {
	functions := unsafe.Add(m.base, m.header.functionsOffset)
	active := unsafe.Add(functions, uintptr(m.header.functionCount)*unsafe.Sizeof(uint16(0)))
	texts := unsafe.Add(active, uintptr(m.header.activeCount)*unsafe.Sizeof(activeLayout{}))
	for at := uintptr(0); at < uintptr(m.control.functionTextSize); {
		head := (*functionTextLayout)(unsafe.Add(texts, at))
		text := unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(head), unsafe.Sizeof(*head))), head.size)
		for index, line := range strings.Split(text, "\n")[1:] {
			if found, _, _ := strings.Cut(line, " "); found == name {
				number := head.first + uint32(index)
				return &Function{
					number: number,
					word:   (*uint16)(unsafe.Add(functions, uintptr(number)*unsafe.Sizeof(uint16(0)))),
					active: (*activeLayout)(unsafe.Add(active, entry*unsafe.Sizeof(activeLayout{}))),
				}, nil
			}
		}
		at += unsafe.Sizeof(*head) + (uintptr(head.size)+7)&^7
	}
	return nil, fmt.Errorf("%s was not woven dormant", name)
}

// On makes spans of the function's calls, at most so many a second; 0: no limit.
func (f *Function) On(limit uint32) {
	f.active.limit = limit
	atomic.StoreUint32(&f.active.function, f.number+1)
	*f.word = entry
}

// Off ends that.
func (f *Function) Off() { *f.word = 0 }
