package rt

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// As the weave writes it: a file with a function and its stand-in.

var testFunctions = &Dormant
var _ = RegisterFunctions(&testFunctions, 3, "example.com/test test\nadd item count\n(*T).Loop\nempty\n")

//go:noinline
func add(item string, count int) (int, error) {
	if testFunctions[0] != 0 && Admit(testFunctions, 0) {
		return addStandIn(item, count)
	}
	if count < 0 {
		return 0, errors.New("negative")
	}
	if count > 1 {
		before, err := add(item, count-1)
		return before + 1, err
	}
	if item == "panic" {
		panic(item)
	}
	if item == "exit" {
		runtime.Goexit()
	}
	return 1, nil
}

func addStandIn(item string, count int) (result int, err error) {
	span := Begin(testFunctions, 0, nil)
	defer span.EndFunc(&err)
	if span.Arguments() {
		span.Argument(0, item)
		span.Argument(1, count)
	}
	return add(item, count)
}

// switchOn plays whoever switches.
func switchOn(index int, limit, flags uint32) *activeLayout {
	const entry = 7
	active := (*activeLayout)(unsafe.Add(functions, activeAt+entry*unsafe.Sizeof(activeLayout{})))
	*active = activeLayout{flags: flags, limit: limit}
	atomic.StoreUint32(&active.function, numberOf(&testFunctions[index])+1)
	testFunctions[index] = entry
	return active
}

func switchOff(index int) { testFunctions[index] = 0 }

func calls() (calls, limited uint64) {
	for index := range processors {
		own := (*callsLayout)(unsafe.Add(functions, callsAt+uintptr(index)*callsBytes+7*unsafe.Sizeof(callsLayout{})))
		calls, limited = calls+own.calls, limited+own.limited
	}
	return calls, limited
}

// Off, a function leaves nothing. On, each call is a span, nested as the calls are; errors, panics and Goexit end it.
func TestDormant(t *testing.T) {
	drain(t)
	add("x", 5)
	if records := drain(t); len(records) != 0 {
		t.Fatalf("%d records of a function that is off", len(records))
	}
	switchOn(0, 0, activeArguments)
	defer switchOff(0)
	if result, err := add("x", 3); result != 3 || err != nil {
		t.Errorf("result %d, %v", result, err)
	}
	records := drain(t)
	if len(records) != 3 || records[0].parentSpanID != records[1].spanID || records[1].parentSpanID != records[2].spanID {
		t.Fatalf("%d records", len(records))
	}
	first := records[2]
	if first.descriptor != firstFunction+numberOf(&testFunctions[0]) || first.recordLayout.kind != recordSpan {
		t.Errorf("record %+v", first.recordLayout)
	}
	text, _ := first.find(firstArgumentKey)
	number, _ := first.find(firstArgumentKey + 1)
	if text.text != "x" || number.value != 3 || number.kind != itemInt {
		t.Errorf("arguments %+v", first.items)
	}
	add("x", -1)
	if failed := one(t); failed.status != statusError {
		t.Errorf("status %d", failed.status)
	}
	on(func() { add("exit", 1) })
	one(t)
	func() {
		defer func() { recover() }()
		add("panic", 1)
	}()
	one(t)
	if Current() != nil || len(unfinished(t)) != 0 {
		t.Error("something is left")
	}
}

// Other parameters than these have no attribute, and nothing of theirs is called.
func TestArguments(t *testing.T) {
	drain(t)
	span := Start(opInternal, nil)
	for position, value := range []any{nil, struct{ a int }{1}, new(int), []byte("x"), panics{}, named("text"), flag(true), ratio(0.5)} {
		span.Argument(position, value)
	}
	span.End()
	var keys []Key
	for _, item := range one(t).items {
		if item.kind <= itemBool {
			keys = append(keys, item.key-firstArgumentKey)
		}
	}
	if len(keys) != 3 || keys[0] != 5 || keys[1] != 6 || keys[2] != 7 {
		t.Errorf("arguments %v", keys)
	}
}

// Beyond its limit a function's calls are counted and get no span, until the next second.
func TestLimit(t *testing.T) {
	drain(t)
	active := switchOn(0, 100, 0)
	defer switchOff(0)
	callsBefore, limitedBefore := calls()
	for call := 0; call < 1000; call++ {
		add("x", 1)
	}
	spans := len(drain(t))
	total, limited := calls()
	total, limited = total-callsBefore, limited-limitedBefore
	// On a machine that stands still for a second a new one has begun.
	if total != 1000 || limited+uint64(spans) != total || spans < 100 || spans == 1000 {
		t.Errorf("%d calls, %d without a span, %d spans", total, limited, spans)
	}
	atomic.StoreUint64(&active.window, 1)
	for call := 0; call < 50+skipLimit; call++ {
		add("x", 1)
	}
	if spans := len(drain(t)); spans < 50 {
		t.Errorf("%d spans in a new second", spans)
	}
}

// Many goroutines never get more than the limit and what each P may have kept from the last second.
func TestLimitTogether(t *testing.T) {
	drain(t)
	active := switchOn(0, 200, 0)
	defer switchOff(0)
	atomic.StoreUint64(&active.window, uint64(nanotime())+1e12) // a second that does not end
	before, limitedBefore := calls()
	var wait sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for call := 0; call < 1000; call++ {
				add("x", 1)
			}
		}()
	}
	wait.Wait()
	spans := uint64(len(drain(t)))
	total, limited := calls()
	if most := 200 + uint64(len(processors))*4; total-before != 8000 || spans > most || limited-limitedBefore+spans != 8000 {
		t.Errorf("%d calls, %d without a span, %d spans", total-before, limited-limitedBefore, spans)
	}
}

// What whoever switches may get wrong switches nothing on; a span that begins meanwhile does no harm.
func TestNonsenseSwitches(t *testing.T) {
	drain(t)
	active := switchOn(0, 0, 0)
	defer switchOff(0)
	active.function++
	add("x", 1)
	for _, entry := range []uint16{activeCount, 0xffff, 8} {
		testFunctions[0] = entry
		add("x", 1)
	}
	if records := drain(t); len(records) != 0 {
		t.Errorf("%d records", len(records))
	}
	switchOn(0, 0, 0)
	span := Begin(testFunctions, 0, nil)
	switchOff(0)
	add("x", 1)
	span.End()
	one(t)
	previous := Ignore()
	switchOn(0, 0, 0)
	add("x", 1)
	Restore(previous)
	if records := drain(t); len(records) != 0 {
		t.Errorf("%d records of a muted goroutine", len(records))
	}
}

// What does not fit is off, and counted.
func TestRegisterFunctions(t *testing.T) {
	count, size, lost := control.functionCount, control.functionTextSize, control.lostNames
	defer func() { control.functionCount, control.functionTextSize, control.lostNames = count, size, lost }()
	own := &Dormant
	control.functionCount = functionCount - 1
	if RegisterFunctions(&own, 2, "p p\na\nb\n") || own != &Dormant || control.lostNames != lost+2 {
		t.Error("registered beyond the table")
	}
	control.functionCount = count
	if RegisterFunctions(&own, 1, strings.Repeat("x", functionTextSize)) || own != &Dormant || control.lostNames != lost+3 {
		t.Error("registered a text beyond the table")
	}
	if !RegisterFunctions(&own, 1, "p p\na\n") || own == &Dormant || numberOf(&own[0]) != count {
		t.Error("not registered")
	}
}

func TestDormantAllocations(t *testing.T) {
	switchOn(0, 0, activeArguments)
	defer switchOff(0)
	if count := testing.AllocsPerRun(500, func() { add("x", 3); catchUp() }); count != 0 {
		t.Errorf("%v allocations", count)
	}
	switchOn(0, 1, 0)
	if count := testing.AllocsPerRun(500, func() { add("x", 3); catchUp() }); count != 0 {
		t.Errorf("beyond the limit: %v allocations", count)
	}
}

//go:noinline
func addPlain(item string, count int) (int, error) {
	if count < 0 {
		return 0, errors.New("negative")
	}
	if count > 1 {
		before, err := addPlain(item, count-1)
		return before + 1, err
	}
	if item == "panic" {
		panic(item)
	}
	if item == "exit" {
		runtime.Goexit()
	}
	return 1, nil
}

// Off, the goal is 2 ns more than without; the calls are ten deep, so divide by ten.
func BenchmarkDormantPlain(b *testing.B) {
	measureSpan(b, func() { addPlain("x", 10) })
}

func BenchmarkDormantOff(b *testing.B) {
	measureSpan(b, func() { add("x", 10) })
}

func BenchmarkDormantOn(b *testing.B) {
	switchOn(0, 0, 0)
	defer switchOff(0)
	measureSpan(b, func() { add("x", 10) })
}

func BenchmarkDormantArguments(b *testing.B) {
	switchOn(0, 0, activeArguments)
	defer switchOff(0)
	measureSpan(b, func() { add("x", 10) })
}

func BenchmarkDormantLimited(b *testing.B) {
	switchOn(0, 1, 0)
	defer switchOff(0)
	measureSpan(b, func() { add("x", 10) })
}
