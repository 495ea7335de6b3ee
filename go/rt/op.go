package rt

import (
	"sync/atomic"
	"unsafe"
)

// Kind is a span's kind, numbered as in OTLP.
type Kind uint8

// The kinds of spans.
const (
	KindInternal Kind = kindInternal
	KindServer   Kind = kindServer
	KindClient   Kind = kindClient
	KindProducer Kind = kindProducer
	KindConsumer Kind = kindConsumer
)

// Key names an attribute. Well-known keys are constants (layout.go); those below firstNonMetricKey are also dimensions
// of metrics.
type Key uint16

// Op is an operation: what all spans of one join point have in common.
type Op struct {
	id   uint32
	kind Kind
	bit  uint64
	word *uint64 // the word of the control page that holds bit: set means switched off
}

// allOff is the word of operations that can never be switched on.
var allOff = ^uint64(0)

// registering guards the two tables. Registration happens in package initialisers, never on the hot path.
var registering uint32

// NewOp registers an operation. It is for initialisers of package-level variables only.
//
// The name may be a template that the agent fills in from attributes, with alternatives separated by |, of which the
// first whose keys are all present is used: "{http.request.method} {http.route}|{http.request.method}".
func NewOp(id, scope string, kind Kind, name string) *Op {
	op := &Op{kind: kind, bit: 1, word: &allOff}
	if memory == nil {
		return op
	}
	acquire(&registering)
	defer release(&registering)
	index := control.descriptorCount + 1
	if index >= descriptorCount {
		atomic.AddUint64(&control.lostNames, 1)
		return op
	}
	descriptor := (*descriptorLayout)(unsafe.Add(memory, descriptorsAt+uintptr(index)*unsafe.Sizeof(descriptorLayout{})))
	descriptor.kind = uint8(kind)
	descriptor.idSize = uint8(copy(descriptor.id[:], id))
	descriptor.scopeSize = uint8(copy(descriptor.scope[:], scope))
	descriptor.nameSize = uint8(copy(descriptor.name[:], name))
	atomic.StoreUint32(&control.descriptorCount, index)
	op.id, op.bit, op.word = index, 1<<(index%64), &control.disabled[index/64]
	if !Instrumented(id, scope) {
		op.switchOff()
	}
	return op
}

// NewKey registers an attribute key that is not well known. It is for initialisers of package-level variables only.
// Equal names give equal keys. When the table is full, the key is 0 and its attributes are dropped.
func NewKey(name string) Key {
	if memory == nil {
		return 0
	}
	acquire(&registering)
	defer release(&registering)
	count := control.keyCount
	for index := uint32(0); index < count; index++ {
		if key := keyAt(index); string(key.name[:key.size]) == name {
			return firstDynamicKey + Key(index)
		}
	}
	if count >= keyCount {
		atomic.AddUint64(&control.lostNames, 1)
		return 0
	}
	key := keyAt(count)
	key.size = uint8(copy(key.name[:], name))
	atomic.StoreUint32(&control.keyCount, count+1)
	return firstDynamicKey + Key(count)
}

func keyAt(index uint32) *keyLayout {
	return (*keyLayout)(unsafe.Add(memory, keysAt+uintptr(index)*unsafe.Sizeof(keyLayout{})))
}

// On says whether the hook should do anything. It costs about a nanosecond.
//
//go:norace
func (op *Op) On() bool {
	return atomic.LoadUint32(&control.flags)&controlPaused == 0 && atomic.LoadUint64(op.word)&op.bit == 0
}

// acquire spins; only for initialisers and the hand-shake.
func acquire(lock *uint32) {
	for !atomic.CompareAndSwapUint32(lock, 0, 1) {
	}
}

func release(lock *uint32) { atomic.StoreUint32(lock, 0) }
