package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// wait is one way to spend time.
type wait struct {
	name string
	// Which kinds of goroutine it says something about.
	lockedOnly, unlockedOnly bool
	// What happens has a span of its own.
	spanless bool
	// It takes seconds.
	slow bool
	// prepare does what must be ready before the span begins, and returns what happens in it.
	prepare func() func(*observation)
}

// sink keeps computations from being optimised away.
var sink uint64

// threadCPU reads the thread's CPU clock, in nanoseconds.
func threadCPU() int64 {
	const clockThreadCPU = 3
	var time syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU, uintptr(unsafe.Pointer(&time)), 0)
	return time.Nano()
}

// burn computes for so long by the thread's CPU clock.
func burn(duration time.Duration) {
	var local uint64
	for start := threadCPU(); threadCPU()-start < int64(duration); {
		for i := uint64(0); i < 2000; i++ {
			local += i * i
		}
	}
	atomic.AddUint64(&sink, local)
}

// later calls end after a pause in a goroutine of its own; *ended is stamped just before.
func later(ended *atomic.Int64, end func()) {
	ended.Store(0)
	go func() {
		time.Sleep(pause)
		ended.Store(now())
		end()
	}()
}

// sleepCall blocks in the system call instead of in Go.
func sleepCall(duration time.Duration) {
	rest := syscall.NsecToTimespec(int64(duration))
	for syscall.Nanosleep(&rest, &rest) == syscall.EINTR {
	}
}

func dieWithParent(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// connected returns the two ends of a TCP connection.
func connected() (near, far net.Conn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	accepted := make(chan net.Conn)
	go func() {
		conn, err := listener.Accept()
		check(err)
		accepted <- conn
	}()
	near, err = net.Dial("tcp", listener.Addr().String())
	check(err)
	far = <-accepted
	check(listener.Close())
	return near, far
}

// lockFile opens the same file twice: two owners of a flock.
func lockFile(folder string) (holder, taker *os.File) {
	holder, err := os.CreateTemp(folder, "lock")
	check(err)
	taker, err = os.Open(holder.Name())
	check(err)
	check(os.Remove(holder.Name()))
	return holder, taker
}

func flock(file *os.File, how int) {
	for {
		switch err := syscall.Flock(int(file.Fd()), how); err {
		case nil:
			return
		case syscall.EINTR:
		default:
			check(err)
		}
	}
}

// readsFromDevice opens the file once more, past the page cache, and returns a buffer as such reads want it.
func readsFromDevice(file *os.File) (direct *os.File, aligned []byte, err error) {
	direct, err = os.OpenFile(file.Name(), os.O_RDONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return nil, nil, err
	}
	aligned, err = syscall.Mmap(-1, 0, 4<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	check(err)
	if _, err := direct.ReadAt(aligned, 0); err != nil {
		return nil, nil, err
	}
	return direct, aligned, nil
}

// leaveOut notes, for the test that runs us, what cannot be tried here.
func leaveOut(folder, name, why string) {
	list, err := os.OpenFile(filepath.Join(folder, "left-out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	check(err)
	_, err = list.WriteString(name + ": " + why + "\n")
	check(err)
	check(list.Close())
}

func newWaits(folder string) []*wait {
	var ended atomic.Int64
	near, far := connected()
	one, other := make(chan bool), make(chan bool)
	var mutex sync.Mutex
	holder, taker := lockFile(folder)
	data, err := os.Create(filepath.Join(folder, "data"))
	check(err)
	content := make([]byte, 4<<20)
	_, err = data.WriteAt(content, 0) // once before, so that a hypervisor has given the memory for it
	check(err)
	check(data.Sync())
	direct, aligned, err := readsFromDevice(data)
	if err != nil {
		leaveOut(folder, "device", "the file system of "+folder+" has no direct reads: "+err.Error())
	}

	computing := &wait{name: "computing", lockedOnly: true, prepare: func() func(*observation) {
		return func(*observation) { burn(pause) }
	}}
	sleep := &wait{name: "sleep", prepare: func() func(*observation) {
		return func(o *observation) {
			start := now()
			time.Sleep(pause)
			o.add("go_sleep", start, start+int64(pause))
		}
	}}
	network := &wait{name: "network", prepare: func() func(*observation) {
		return func(o *observation) {
			later(&ended, func() { far.Write([]byte{1}) })
			start := now()
			_, err := near.Read(make([]byte, 1))
			check(err)
			o.add("go_network", start, ended.Load())
		}
	}}
	var previous net.Conn
	sending := &wait{name: "sending", prepare: func() func(*observation) {
		if previous != nil {
			previous.Close()
		}
		near, far := connected()
		fill(near)
		previous = near
		return func(o *observation) {
			later(&ended, func() { go io.Copy(io.Discard, far) })
			start := now()
			_, err := near.Write([]byte{1})
			check(err)
			o.add("go_send", start, ended.Load())
		}
	}}
	channel := &wait{name: "channel", prepare: func() func(*observation) {
		return func(o *observation) {
			later(&ended, func() { one <- true })
			start := now()
			<-one
			o.add("go_channel", start, ended.Load())
		}
	}}
	selected := &wait{name: "select", prepare: func() func(*observation) {
		return func(o *observation) {
			later(&ended, func() { other <- true })
			start := now()
			select {
			case <-one:
			case <-other:
			}
			o.add("go_select", start, ended.Load())
		}
	}}
	locked := &wait{name: "mutex", prepare: func() func(*observation) {
		mutex.Lock()
		return func(o *observation) {
			later(&ended, mutex.Unlock)
			start := now()
			mutex.Lock()
			o.add("go_sync", start, ended.Load())
			mutex.Unlock()
		}
	}}
	group := &wait{name: "wait group", prepare: func() func(*observation) {
		return func(o *observation) {
			var group sync.WaitGroup
			group.Add(1)
			later(&ended, group.Done)
			start := now()
			group.Wait()
			o.add("go_sync", start, ended.Load())
		}
	}}
	coroutine := &wait{name: "iterator", unlockedOnly: true, prepare: func() func(*observation) {
		next, _ := iter.Pull(func(yield func(bool) bool) {
			time.Sleep(pause)
			yield(true)
		})
		return func(o *observation) {
			start := now()
			next()
			o.add("go_coroutine", start, now())
		}
	}}
	fileLock := &wait{name: "file lock", prepare: func() func(*observation) {
		flock(holder, syscall.LOCK_EX)
		return func(o *observation) {
			later(&ended, func() { flock(holder, syscall.LOCK_UN) })
			start := now()
			flock(taker, syscall.LOCK_EX)
			o.add("blocked_lock", start, ended.Load())
			flock(taker, syscall.LOCK_UN)
		}
	}}
	systemCall := &wait{name: "system call", prepare: func() func(*observation) {
		return func(o *observation) {
			start := now()
			sleepCall(pause)
			o.add("blocked_sleep", start, start+int64(pause))
		}
	}}
	fsync := &wait{name: "fsync", lockedOnly: true, prepare: func() func(*observation) {
		return func(o *observation) {
			start, cpu := now(), threadCPU()
			_, err := data.WriteAt(content, 0)
			check(err)
			check(data.Sync())
			// Only what the thread did not compute meanwhile is waiting: for the device, or for whoever writes the journal.
			computed := threadCPU() - cpu
			o.add("blocked_file", start+computed, 0)
			o.add("block_io", start+computed, 0)
		}
	}}
	device := &wait{name: "device", lockedOnly: true, prepare: func() func(*observation) {
		return func(o *observation) {
			start, cpu := now(), threadCPU()
			for now()-start < int64(pause) {
				_, err := direct.ReadAt(aligned, 0)
				check(err)
			}
			// All that it did not compute is waiting for the device.
			computed := threadCPU() - cpu
			o.add("block_io", start+computed, now())
		}
	}}
	single := []*wait{
		computing, sleep, network, sending, channel, selected, locked, group, coroutine, fileLock, systemCall, fsync,
	}
	single = append(single, newForeign(folder)...)
	if direct != nil {
		single = append(single, device)
	}
	everything := &wait{name: "everything", lockedOnly: true, prepare: func() func(*observation) {
		var steps []func(*observation)
		for _, w := range []*wait{computing, sleep, network, channel, selected, locked, fileLock, systemCall} {
			steps = append(steps, w.prepare())
		}
		return func(o *observation) {
			for _, step := range steps {
				step(o)
			}
		}
	}}
	return append(single, everything)
}

// newUnread waits for data, which come while the only processor computes.
func newUnread() []*wait {
	return []*wait{{name: "data", prepare: func() func(*observation) {
		near, far := connected()
		var sent atomic.Int64
		return func(o *observation) {
			go func() {
				burn(pause / 2)
				sent.Store(now())
				far.Write([]byte{1})
				burn(pause)
			}()
			start := now()
			_, err := near.Read(make([]byte, 1))
			check(err)
			waited, end := sent.Load()-start, now()
			o.Parts["go_network"] = &bounds{LeastNanos: waited, MostNanos: waited}
			// From then on nobody looked, or it was not its turn.
			o.Parts["network_unread"] = &bounds{LeastNanos: end - sent.Load(), MostNanos: end - sent.Load()}
			near.Close()
			far.Close()
		}
	}}}
}

// newDetails makes page faults and system calls.
func newDetails() []*wait {
	const pages = 1024
	faults := &wait{name: "pages", lockedOnly: true, prepare: func() func(*observation) {
		memory, err := syscall.Mmap(-1, 0, pages<<12, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
		check(err)
		const noHugePages = 15
		check(syscall.Madvise(memory, noHugePages))
		return func(o *observation) {
			cpu, before := threadCPU(), minorFaults()
			for i := 0; i < len(memory); i += 1 << 12 {
				memory[i] = 1
			}
			counted := minorFaults() - before
			o.Attributes["tandem.page_faults"] = &bounds{LeastNanos: counted * 49 / 50, MostNanos: counted + 10}
			o.Parts["minor_fault"] = &bounds{LeastNanos: 1, MostNanos: threadCPU() - cpu}
			check(syscall.Munmap(memory))
		}
	}}
	calls := &wait{name: "calls", prepare: func() func(*observation) {
		return func(o *observation) {
			for i := 0; i < 100; i++ {
				syscall.Getppid()
			}
			start := now()
			sleepCall(pause)
			o.add("blocked_sleep", start, start+int64(pause))
			o.Attributes["tandem.syscall.getppid.count"] = &bounds{LeastNanos: 100, MostNanos: 100}
			o.Attributes["tandem.syscall.getppid.duration"] = &bounds{LeastNanos: 1, MostNanos: start - o.start}
			o.Attributes["tandem.syscall.nanosleep.duration"] = &bounds{LeastNanos: int64(pause), MostNanos: now() - start}
		}
	}}
	return []*wait{faults, calls}
}

// minorFaults is how many page faults of this thread waited for no device.
func minorFaults() int64 {
	const thisThread = 1
	var usage syscall.Rusage
	check(syscall.Getrusage(thisThread, &usage))
	return usage.Minflt
}

// chunk is no garbage, which would call for the collector.
var chunk [1 << 20]byte

// fill writes to a connection until its buffers are full.
func fill(conn net.Conn) {
	check(conn.SetWriteDeadline(time.Now().Add(pause)))
	for err := error(nil); err == nil; {
		_, err = conn.Write(chunk[:])
	}
	check(conn.SetWriteDeadline(time.Time{}))
}

// newStopped computes while somebody else prints the stacks of many goroutines, for which the world is stopped.
func newStopped() []*wait {
	for i := 0; i < 2000; i++ {
		go func() { select {} }()
	}
	text := make([]byte, 16<<20)
	return []*wait{{name: "world", lockedOnly: true, prepare: func() func(*observation) {
		var began, ended atomic.Int64
		return func(o *observation) {
			start, cpu := now(), threadCPU()
			go func() {
				time.Sleep(pause / 2)
				began.Store(now())
				runtime.Stack(text, true)
				ended.Store(now())
			}()
			for ended.Load() == 0 {
				burn(pause / 20)
			}
			// Who stops the world may have to wait for a CPU before and after that.
			stopped := min(ended.Load()-began.Load(), now()-start-(threadCPU()-cpu))
			o.Parts["go_stopped"] = &bounds{LeastNanos: stopped, MostNanos: stopped}
		}
	}}}
}

// newLoss sends something that gets lost, so that it is sent again.
func newLoss() []*wait {
	direct := &wait{name: "retransmission", slow: true, prepare: func() func(*observation) {
		near, far := connected()
		go io.Copy(far, far)
		ask := func(string) {
			_, err := near.Write([]byte{1})
			check(err)
			_, err = near.Read(make([]byte, 1))
			check(err)
		}
		return resending(near, "go_network", ask)
	}}
	// The span is that of the client, whose goroutine waits for those of the connection.
	request := &wait{name: "request", spanless: true, slow: true, prepare: func() func(*observation) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		go http.Serve(listener, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		var near net.Conn
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			near = conn
			return conn, err
		}
		client := &http.Client{Transport: &http.Transport{DialContext: dial}}
		ask := func(name string) {
			answer, err := client.Get("http://" + listener.Addr().String() + "/case/" + url.PathEscape(name))
			check(err)
			check(answer.Body.Close())
		}
		ask("first")
		return resending(near, "go_select", ask)
	}}
	return []*wait{direct, request}
}

// resending asks once, waits until somebody has looked how far away the other end is, and asks again while packets get
// lost; so part is what it waits in.
func resending(conn net.Conn, part string, ask func(name string)) func(*observation) {
	ask("first")
	time.Sleep(1500 * time.Millisecond)
	before := tcpInfo(conn)
	loss("replace", "blackhole")
	return func(o *observation) {
		mended := make(chan bool)
		go func() {
			time.Sleep(pause)
			loss("del")
			close(mended)
		}()
		start := now()
		ask(o.Case)
		o.Parts[part] = &bounds{MostNanos: now() - start}
		<-mended // long ago
		after := tcpInfo(conn)
		resent := int64(after.totalRetrans - before.totalRetrans)
		if resent == 0 {
			check(errors.New("nothing was sent again"))
		}
		o.Attributes["tandem.tcp.retransmits"] = &bounds{LeastNanos: resent, MostNanos: resent}
		one, other := int64(before.rtt)*1000, int64(after.rtt)*1000
		o.Attributes["tandem.tcp.rtt"] = &bounds{LeastNanos: min(one, other), MostNanos: max(one, other)}
	}
}

// loss changes what becomes of the packets on this network.
func loss(verb string, kind ...string) {
	command := exec.Command("tc", append([]string{"qdisc", verb, "dev", "lo", "root"}, kind...)...)
	command.Stderr = os.Stderr
	check(command.Run())
}

// connectionInfo is the beginning of the kernel's struct tcp_info.
type connectionInfo struct {
	_            [68]byte
	rtt          uint32 // µs
	_            [28]byte
	totalRetrans uint32
}

func tcpInfo(conn net.Conn) (info connectionInfo) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	check(err)
	check(raw.Control(func(fd uintptr) {
		const tcpInfoOption = 11
		size := unsafe.Sizeof(info)
		_, _, failure := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, tcpInfoOption,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if failure != 0 {
			check(failure)
		}
	}))
	return info
}

// newThrottled computes more than its control group may.
func newThrottled(group string) []*wait {
	return []*wait{{name: "limit", lockedOnly: true, prepare: func() func(*observation) {
		return func(o *observation) {
			start, cpu, throttled := now(), threadCPU(), throttledNanos(group)
			burn(3 * pause)
			// The kernel's own account, of all threads; nobody else computes.
			spent := min(throttledNanos(group)-throttled, now()-start-(threadCPU()-cpu))
			o.Parts["throttled"] = &bounds{LeastNanos: spent, MostNanos: spent}
		}
	}}}
}

// throttledNanos reads for how long a control group has been throttled.
func throttledNanos(group string) int64 {
	text, err := os.ReadFile(filepath.Join(group, "cpu.stat.local")) // without what its ancestors or children were
	if err != nil {
		text, err = os.ReadFile(filepath.Join(group, "cpu.stat"))
	}
	check(err)
	words := strings.Fields(string(text))
	for i := 0; i+1 < len(words); i += 2 {
		switch words[i] {
		case "throttled_time": // control groups of version 1
			nanos, err := strconv.ParseInt(words[i+1], 10, 64)
			check(err)
			return nanos
		case "throttled_usec":
			micros, err := strconv.ParseInt(words[i+1], 10, 64)
			check(err)
			return 1000 * micros
		}
	}
	check(fmt.Errorf("%s does not say for how long it was throttled", group))
	return 0
}

// newRequest prepares one of many requests: it computes a little, asks a peer over a connection, waits for a channel,
// for a lock that all share, in a system call, and sleeps.
func newRequest(shared *sync.Mutex) func(*observation) {
	near, far := connected()
	var answered, sent atomic.Int64
	go func() {
		question := make([]byte, 1)
		_, err := far.Read(question)
		check(err)
		time.Sleep(pause)
		answered.Store(now())
		far.Write(question)
	}()
	channel := make(chan bool)
	return func(o *observation) {
		burn(pause / 50)

		_, err := near.Write([]byte{1})
		check(err)
		start := now()
		_, err = near.Read(make([]byte, 1))
		check(err)
		o.add("go_network", start, answered.Load())

		later(&sent, func() { channel <- true })
		start = now()
		<-channel
		o.add("go_channel", start, sent.Load())

		start = now()
		shared.Lock()
		o.add("go_sync", start, 0)
		burn(pause / 200)
		shared.Unlock()

		start = now()
		sleepCall(pause)
		o.add("blocked_sleep", start, start+int64(pause))

		start = now()
		time.Sleep(pause)
		o.add("go_sleep", start, start+int64(pause))
	}
}
