package rt

import (
	"errors"
	"sync"
	"testing"
	"time"
	"unsafe"
)

type (
	named     string
	number    uint16
	ratio     float32
	flag      bool
	describes struct{}
	panics    struct{}
)

func (describes) String() string { return "described" }
func (panics) Error() string     { panic("no text") }

func bytesOf(words *[2]uint64) unsafe.Pointer { return unsafe.Pointer(words) }

// SetAny understands values of named types by their kind, and texts by their methods.
func TestSetAny(t *testing.T) {
	drain(t)
	for _, test := range []struct {
		value any
		want  item
	}{
		{"text", item{kind: itemString, text: "text"}},
		{named("text"), item{kind: itemString, text: "text"}},
		{7, item{kind: itemInt, value: 7}},
		{int8(-7), item{kind: itemInt, value: ^uint64(6)}},
		{number(7), item{kind: itemInt, value: 7}},
		{uint64(1 << 63), item{kind: itemInt, value: 1 << 63}},
		{flag(true), item{kind: itemBool, value: 1}},
		{false, item{kind: itemBool}},
		{ratio(0.5), item{kind: itemFloat, value: 0x3fe0000000000000}},
		{0.25, item{kind: itemFloat, value: 0x3fd0000000000000}},
		{describes{}, item{kind: itemString, text: "described"}},
		{time.Second, item{kind: itemString, text: "1s"}},
		{errors.New("wrong"), item{kind: itemString, text: "wrong"}},
		{panics{}, item{kind: itemString, text: ""}},
	} {
		span := StartFunc(opInternal, nil)
		span.SetAny(keyOwn, test.value)
		span.EndFunc(nil)
		got, found := one(t).find(keyOwn)
		if !found || got.kind != test.want.kind || (got.value != test.want.value && got.kind != itemString) || (got.text != test.want.text && got.kind == itemString) {
			t.Errorf("%T %v: %+v", test.value, test.value, got)
		}
	}
	span := StartFunc(opInternal, nil)
	span.SetAny(keyOwn, nil)
	span.SetAny(keyOwn, struct{ a, b int }{1, 2})
	span.SetAny(keyOwn, new(int))
	err := error(panics{})
	span.EndFunc(&err)
	got := one(t)
	if _, found := got.find(keyOwn); found {
		t.Error("an attribute of a value that has none")
	}
	if kind, _ := got.find(KeyErrorType); kind.text != "rt.panics" || got.status != statusError {
		t.Errorf("error %+v", got.items)
	}
}

// Keys with one name are one key; what does not fit the tables is off, and counted.
func TestRegistration(t *testing.T) {
	if NewKey("test.own") != keyOwn || keyOwn < firstDynamicKey {
		t.Error("a key registered twice")
	}
	long := NewKey(string(make([]byte, 200)))
	if long == 0 {
		t.Error("a long key")
	}
	descriptors, keys, lost := control.descriptorCount, control.keyCount, control.lostNames
	defer func() { control.descriptorCount, control.keyCount, control.lostNames = descriptors, keys, lost }()
	control.descriptorCount, control.keyCount = descriptorCount-1, keyCount
	op := NewOp("too.many", "", KindInternal, "")
	key := NewKey("too.many")
	if op.On() || Start(op, nil) != nil || key != 0 || control.lostNames != lost+2 {
		t.Errorf("full tables: %v %v %d", op.On(), key, control.lostNames)
	}
	span := Start(opInternal, nil)
	span.Str(key, "x")
	span.Int(key, 1)
	span.End()
	for _, item := range one(t).items {
		if item.kind <= itemBool {
			t.Errorf("an attribute without a key: %+v", item)
		}
	}
}

// Spans lie in memory that goroutines which know nothing of each other use in turn: the race detector, which would take that
// for a race of the program, does not get to see it.
func TestSpansOfUnrelatedGoroutines(t *testing.T) {
	drain(t)
	var all sync.WaitGroup
	for i := 0; i < 50; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			failed := errors.New("wrong")
			outer := StartFunc(opInternal, nil)
			outer.SetAny(keyOwn, number(7))
			inner := StartFunc(opInternal, outer)
			inner.Event(KeyException)
			inner.EventStr(KeyExceptionType, "kind")
			inner.EventEnd()
			inner.EndFunc(&failed)
			func() {
				defer func() { _ = recover() }()
				panicking := StartFunc(opInternal, nil)
				defer panicking.EndFunc(nil)
				panic("thrown")
			}()
			outer.EndFunc(nil)
		}()
		time.Sleep(100 * time.Microsecond) // one after the other, most often, and nothing orders them
	}
	all.Wait()
	drain(t)
}
