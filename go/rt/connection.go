package rt

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

// Uses says that from now on until it ends the span waits for a connection that other goroutines read and write. The first
// one counts.
//
//go:norace
func (s *Span) Uses(c *Connection) {
	if s == nil || s.state&stateKernel == 0 || c.descriptor == 0 {
		return
	}
	if s.connection != 0 { // sent again over another one
		return
	}
	if known := kernelSlot(c.descriptor - 1); known != nil {
		s.connection, s.account.since = c.descriptor, c.since
		s.account.resent += known.connectionResent
	}
}

// measureConnections appends how often the kernel sent something again while the span waited for a connection, and how
// far away the other end of the last one is.
//
//go:norace
func (s *Span) measureConnections(at *slot) {
	own := ownAccountOf(at.index)
	if own == nil {
		return
	}
	resent, rtt := own.resent, uint32(0)
	if at.ns[1] != s.account.ns[1] {
		rtt = own.rtt
	}
	if s.connection != 0 {
		if known := kernelSlot(s.connection - 1); known != nil {
			resent += known.connectionResent
			if int32(known.connectionSampled-s.account.since) > 0 { // this connection's, not the one's that had the descriptor before
				rtt = known.connectionRTT
			}
		}
	}
	resent = increase(resent, s.account.resent)
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
