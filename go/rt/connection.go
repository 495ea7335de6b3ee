package rt

import (
	"sync/atomic"
	"unsafe"
)

// What the kernel half knows of a connection is kept by the number of its descriptor. A goroutine that waits for it itself has
// its share in its account; a span whose connection others read and write has to name it.

// Connection is how a span names a connection. It lies with what uses the connection, from its beginning on.
type Connection struct {
	descriptor uint32 // and 1; 0: none
	since      uint32 // when it was first named, in 2²⁴ ns
	named      bool
}

// Named says whether Name has been called.
func (c *Connection) Named() bool { return c.named }

// Name says which descriptor it has; a negative one: none.
func (c *Connection) Name(descriptor int) {
	c.named = true
	if descriptor >= 0 && descriptor < accountCount {
		c.descriptor, c.since = uint32(descriptor)+1, uint32(nanotime()>>24)
	}
}

// Uses says that from now on until it ends the span waits for a connection that other goroutines read and write. The last
// one counts.
//
//go:norace
func (s *Span) Uses(c *Connection) {
	if s == nil || s.state&stateKernel == 0 {
		return
	}
	if known := connectionOf(c.descriptor); known != nil {
		s.connection, s.connectionSince, s.resent = c.descriptor, c.since, known.connectionResent
	}
}

// connectionOf returns what the kernel says of a connection, or nil.
//
//go:norace
func connectionOf(descriptor uint32) *accountLayout {
	if descriptor == 0 || descriptor > atomic.LoadUint32(&kernelAccountCount) {
		return nil
	}
	base := atomic.LoadPointer(&kernelAccounts)
	return (*accountLayout)(unsafe.Add(base, uintptr(descriptor-1)*unsafe.Sizeof(accountLayout{})))
}

// measureConnections appends how often the kernel sent something again while the span waited for a connection, and how
// far away the other end of the last one is.
//
//go:norace
func (s *Span) measureConnections(at *slot) {
	resent, rtt := uint32(0), uint32(0)
	if own := ownAccountOf(at.index); own != nil && at.ns[1] != s.account.ns[1] {
		resent, rtt = own.resent-s.account.own.resent, own.rtt
	}
	if known := connectionOf(s.connection); known != nil {
		resent += increase(known.connectionResent, s.resent)
		if int32(known.connectionSampled-s.connectionSince) > 0 { // this connection's, not the one's that had the descriptor before
			rtt = known.connectionRTT
		}
	}
	if resent != 0 {
		s.item(itemInt, uint16(KeyTandemTCPRetransmits), uint64(resent))
	}
	if rtt != 0 {
		s.item(itemInt, uint16(KeyTandemTCPRTT), uint64(rtt)*1000)
	}
}

// increase is how much more now is than before; less is 0: another agent has begun to count.
func increase(now, before uint32) uint32 {
	if difference := now - before; int32(difference) > 0 {
		return difference
	}
	return 0
}
