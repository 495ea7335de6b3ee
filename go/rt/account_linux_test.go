package rt

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func partsOf(r *record) map[uint16]time.Duration {
	parts := map[uint16]time.Duration{}
	for _, item := range r.ofKind(itemPart) {
		parts[uint16(item.key)] += time.Duration(item.value)
	}
	return parts
}

// Each kind of wait is found under its part, and only there.
func TestGoParts(t *testing.T) {
	drain(t)
	const wait = 20 * time.Millisecond
	soon := func(work func()) { go func() { Detach(); time.Sleep(wait); work() }() }
	for part, work := range map[uint16]func(){
		partGoSleep:   func() { time.Sleep(wait) },
		partGoChannel: func() { c := make(chan int); soon(func() { close(c) }); <-c },
		partGoSelect: func() {
			c, d := make(chan int), make(chan int)
			soon(func() { close(c) })
			select {
			case <-c:
			case <-d:
			}
		},
		partGoSync: func() { var m sync.Mutex; m.Lock(); soon(m.Unlock); m.Lock() },
		partGoNetwork: func() {
			a, b, err := socketPair()
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			soon(func() { b.Close() })
			a.Read(make([]byte, 1))
		},
	} {
		span := Start(opInternal, nil)
		work()
		span.End()
		got := one(t)
		wall := time.Duration(got.end - got.start)
		if got.flags&recordFlagGoParts == 0 || got.flags&recordFlagKernelParts != 0 {
			t.Errorf("part %d: flags %d", part, got.flags)
		}
		for found, spent := range partsOf(got) {
			if found == part && (spent < wait*9/10 || spent > wall) || found != part && found != partGoRunnable && spent > wait/2 {
				t.Errorf("part %d has %v while waiting %v for part %d", found, spent, wall, part)
			}
		}
		if partsOf(got)[part] == 0 {
			t.Errorf("part %d is missing", part)
		}
	}
}

// A goroutine that finds the send buffer full waits to send; one that has nothing to read, for the network.
func TestWaitToSend(t *testing.T) {
	drain(t)
	const wait = 20 * time.Millisecond
	a, b, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	much, taken := make([]byte, 16<<20), make(chan struct{})
	go func() {
		Detach()
		time.Sleep(wait)
		for buffer, err := make([]byte, 1<<20), error(nil); err == nil; {
			_, err = b.Read(buffer)
		}
		close(taken)
	}()
	span := Start(opInternal, nil)
	a.Write(much)
	span.End()
	got := one(t)
	if parts := partsOf(got); parts[partGoSend] < wait*9/10 || parts[partGoNetwork] > wait/2 {
		t.Errorf("waited to send for %v, for the network for %v", parts[partGoSend], parts[partGoNetwork])
	}
	a.Close()
	<-taken
}

// Who is runnable while the world is stopped waits for that, not for a thread; at other times for a thread.
func TestStoppedWorld(t *testing.T) {
	drain(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		Detach()
		defer close(stopped)
		var stats runtime.MemStats
		for {
			select {
			case <-stop:
				return
			default:
				runtime.ReadMemStats(&stats)
			}
		}
	}()
	span := Start(opInternal, nil)
	for begin := time.Now(); time.Since(begin) < 100*time.Millisecond; {
	}
	span.End()
	close(stop)
	<-stopped
	during := partsOf(one(t))
	if during[partGoStopped] == 0 {
		t.Errorf("never stopped: %v", during)
	}
	span = Start(opInternal, nil)
	for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
		runtime.Gosched()
	}
	span.End()
	if after := partsOf(one(t)); after[partGoStopped] != 0 || after[partGoRunnable] == 0 {
		t.Errorf("nobody stopped the world: %v", after)
	}
}

// What the runtime takes for the time of a change of state is the clock's, on every P and while they change.
func TestStampsAreTimes(t *testing.T) {
	const tolerance = int64(20 * time.Microsecond) // the clock may be slewed meanwhile
	span := Start(opInternal, nil)
	defer span.End()
	word := make(chan struct{})
	go func() {
		Detach()
		for range word {
			word <- struct{}{}
		}
	}()
	late := 0
	for begin := time.Now(); time.Since(begin) < 300*time.Millisecond; {
		before := nanotime()
		last := here().stamp
		word <- struct{}{}
		<-word
		stamp := here().stamp
		if stamp == last {
			continue // both were ready: it did not wait
		}
		if after := nanotime(); stamp < before-tolerance || stamp > after+tolerance {
			t.Fatalf("stamped %d ns before the clock was read before, %d ns after it was read after", before-stamp, stamp-after)
		}
		if late++; late%64 == 0 {
			time.Sleep(100 * time.Microsecond) // another P
		}
	}
	close(word)
}

func socketPair() (a, b net.Conn, err error) {
	sockets, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	for index, end := range []*net.Conn{&a, &b} {
		file := os.NewFile(uintptr(sockets[index]), "")
		if *end, err = net.FileConn(file); err != nil {
			return nil, nil, err
		}
		file.Close()
	}
	return a, b, nil
}

// An agent that raises the generation is connected to once, gets the memory, and gives the kernel half, which then shows
// in the spans. So does one whose welcome was not waited for at start.
func TestHandShake(t *testing.T) {
	drain(t)
	path := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	before := settings
	settings.socket, settings.waitAgent = path, false
	defer func() { settings = before }()
	accounts := accountMap(t)

	hellos := make(chan helloLayout, 4)
	go func() {
		Detach()
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			var hello helloLayout
			message, rights := unsafe.Slice((*byte)(unsafe.Pointer(&hello)), unsafe.Sizeof(hello)), make([]byte, 64)
			_, size, _, _, err := conn.ReadMsgUnix(message, rights)
			file := receivedDescriptor(rights[:size])
			if mapped := mapShared(file, page, syscall.PROT_READ); err != nil || mapped == nil || *(*uint64)(mapped) != magic {
				t.Error("what came with hello is not our memory")
			}
			syscall.Close(file)
			hellos <- hello
			time.Sleep(10 * time.Millisecond)
			welcome := welcomeLayout{magic: welcomeMagic, layoutVersion: layoutVersion, accountCount: accountCount}
			conn.WriteMsgUnix(unsafe.Slice((*byte)(unsafe.Pointer(&welcome)), unsafe.Sizeof(welcome)), syscall.UnixRights(accounts.file), nil)
			conn.Close()
		}
	}()

	connected := func(what string) {
		t.Helper()
		for attempt := 0; atomic.LoadUint32(&kernelAccountCount) == 0; attempt++ {
			span := Start(opInternal, nil)
			span.End()
			time.Sleep(time.Millisecond)
			if attempt == 5000 {
				t.Fatal(what, ": the account map did not come")
			}
		}
		hello := <-hellos
		if hello.magic != helloMagic || hello.pid != uint32(os.Getpid()) || hello.fileSize != uint64(memorySize) || hello.generation != control.generation {
			t.Errorf("%s: %+v", what, hello)
		}
		drain(t) // so that the next record is the only one, whatever P it is left on
		Start(opInternal, nil).End()
		if records := drain(t); records[0].flags&recordFlagKernelParts != 0 {
			t.Errorf("%s: the kernel half of an agent that shows no life was used", what)
		}
		atomic.StoreUint64(&control.heartbeat, uint64(nanotime()))
		defer atomic.StoreUint64(&control.heartbeat, 0)
		span := Start(opInternal, nil)
		slots := (*[accountCount]accountLayout)(accounts.memory)
		slots[here().index].runQueue += 1000
		slots[here().index].blockedFile += 2000
		slots[here().index].majorFault += 3000
		span.End()
		records := drain(t)
		got := records[len(records)-1]
		if parts := partsOf(got); got.flags&recordFlagKernelParts == 0 || parts[partRunQueue] != 1000 || parts[partBlockedFile] != 2000 || parts[partMajorFault] != 3000 || parts[partBlockedNetwork] != 0 {
			t.Errorf("%s: parts %v", what, parts)
		}
		atomic.StoreUint32(&kernelAccountCount, 0)
	}
	greetAgent()
	connected("at start")
	atomic.AddUint32(&control.generation, 1)
	connected("raised generation")
	Start(opInternal, nil).End()
	time.Sleep(5 * time.Millisecond)
	if len(hellos) != 0 {
		t.Error("connected twice for one generation")
	}
	drain(t)
}

// Nobody there, or nobody who answers: nothing happens, and start-up does not wait longer than it may.
func TestNoAgent(t *testing.T) {
	before := settings
	defer func() { settings = before }()
	path := filepath.Join(t.TempDir(), "silent.sock")
	settings.socket, settings.waitAgent = path, true
	greetAgent()
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	started := time.Now()
	greetAgent()
	if spent := time.Since(started); spent > 500*time.Millisecond || spent < 50*time.Millisecond {
		t.Errorf("waited %v", spent)
	}
	if kernelAccountCount != 0 || pendingSocket != -1 {
		t.Error("something came of it")
	}
}

type mapOfAccounts struct {
	file   int
	memory unsafe.Pointer
}

func accountMap(t *testing.T) mapOfAccounts {
	file, err := os.Create(filepath.Join(t.TempDir(), "accounts"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	const size = accountCount * unsafe.Sizeof(accountLayout{})
	if err := file.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	memory := mapShared(int(file.Fd()), size, syscall.PROT_READ|syscall.PROT_WRITE)
	if memory == nil {
		t.Fatal("mmap")
	}
	return mapOfAccounts{int(file.Fd()), memory}
}
