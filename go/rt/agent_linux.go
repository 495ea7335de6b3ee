//go:build linux && (amd64 || arm64)

package rt

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// The hand-shake: one message each way over a SOCK_SEQPACKET socket. hello carries our memfd; welcome brings the account
// map, when the agent has a kernel half. Then the socket is closed: the agent follows the process by itself.

const (
	// With TANDEM_SOCKET set, start-up waits so long for the agent.
	startTimeout = 100 * 1000 // µs
	// Later a goroutine of its own waits.
	laterTimeout = 5 * 1000 * 1000 // µs
)

// pendingSocket is a connection on which the welcome was not read yet; -1: none.
var pendingSocket = -1

// greetAgent is called once, at start-up.
func greetAgent() {
	answered = control.generation
	socket := sendHello(startTimeout, 0)
	if socket < 0 {
		return
	}
	if settings.waitAgent {
		readWelcome(socket, startTimeout)
		return
	}
	pendingSocket = socket
	answered = ^control.generation // so that the first span starts the goroutine that reads it
}

// connectAgain runs in a goroutine of its own when the agent has raised the control page's generation, and for the
// welcome that start-up did not wait for.
func connectAgain() {
	Detach()
	acquire(&registering)
	defer release(&registering)
	socket := pendingSocket
	pendingSocket = -1
	if socket < 0 {
		socket = sendHello(laterTimeout, 0)
	}
	if socket >= 0 {
		readWelcome(socket, laterTimeout)
	}
}

// sendHello connects and introduces the program, or says why it has no memory to show. It returns -1 where there is no agent.
func sendHello(timeout int64, reason syscall.Errno) int {
	socket, failure := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if failure != nil {
		debug("socket: ", failure.Error())
		return -1
	}
	limit := syscall.Timeval{Sec: timeout / 1e6, Usec: timeout % 1e6}
	syscall.SetsockoptTimeval(socket, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &limit)
	failure = syscall.EINTR
	for failure == syscall.EINTR {
		failure = syscall.Connect(socket, &syscall.SockaddrUnix{Name: settings.socket})
	}
	if failure != nil {
		debug("no agent at ", settings.socket, ": ", failure.Error())
		syscall.Close(socket)
		return -1
	}
	hello := helloLayout{
		magic:         helloMagic,
		layoutVersion: layoutVersion,
		pid:           uint32(processID()),
		generation:    atomic.LoadUint32(&control.generation),
		fileSize:      uint64(memorySize),
	}
	var rights []byte
	if reason == 0 {
		rights = syscall.UnixRights(memoryFile)
	} else {
		hello.generation = uint32(reason)
	}
	message := unsafe.Slice((*byte)(unsafe.Pointer(&hello)), unsafe.Sizeof(hello))
	if failure := syscall.Sendmsg(socket, message, rights, nil, syscall.MSG_NOSIGNAL); failure != nil {
		debug("hello: ", failure.Error())
		syscall.Close(socket)
		return -1
	}
	if reason == 0 {
		atomic.StoreInt64(&greeted, nanotime())
	}
	return socket
}

// readWelcome waits for the answer and maps the account map that comes with it. It closes the socket.
func readWelcome(socket int, timeout int64) {
	defer syscall.Close(socket)
	limit := syscall.Timeval{Sec: timeout / 1e6, Usec: timeout % 1e6}
	syscall.SetsockoptTimeval(socket, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit)
	var welcome welcomeLayout
	message := unsafe.Slice((*byte)(unsafe.Pointer(&welcome)), unsafe.Sizeof(welcome))
	rights := make([]byte, syscall.CmsgSpace(4))
	size, rightsSize, failure := 0, 0, error(syscall.EINTR)
	for failure == syscall.EINTR {
		size, rightsSize, _, _, failure = syscall.Recvmsg(socket, message, rights, syscall.MSG_CMSG_CLOEXEC)
	}
	if failure != nil {
		debug("welcome: ", failure.Error())
		return
	}
	account := receivedDescriptor(rights[:rightsSize])
	if size == len(message) && welcome.magic == welcomeMagic && welcome.accountCount != 0 && account >= 0 {
		mapAccounts(account, welcome.accountCount)
	}
	if account >= 0 {
		syscall.Close(account)
	}
}

// receivedDescriptor returns the first descriptor that came along, or -1.
func receivedDescriptor(rights []byte) int {
	messages, failure := syscall.ParseSocketControlMessage(rights)
	if failure != nil {
		return -1
	}
	received := -1
	for index := range messages {
		descriptors, failure := syscall.ParseUnixRights(&messages[index])
		if failure != nil {
			continue
		}
		for _, descriptor := range descriptors {
			if received < 0 {
				received = descriptor
				continue
			}
			syscall.Close(descriptor)
		}
	}
	return received
}

// mapAccounts maps the kernel's half of the accounts read-only. An older map stays mapped: a span may be reading it.
func mapAccounts(file int, count uint32) {
	base := mapShared(file, uintptr(count)*unsafe.Sizeof(accountLayout{}), syscall.PROT_READ)
	if base == nil {
		debug("the account map cannot be mapped; no kernel half")
		return
	}
	// Never a moment with the new count and the old map.
	atomic.StoreUint32(&kernelAccountCount, 0)
	atomic.StorePointer(&kernelAccounts, base)
	atomic.StoreUint32(&kernelAccountCount, count)
}
