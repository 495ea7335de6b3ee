//! What was seen of a socket, wherever it was seen: probes hand it over, observers take it.

use std::net::SocketAddr;

use crate::stream::{Direction, Segment};

/// How it was transported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// As part of a stream.
    Tcp,
    /// On its own.
    Udp,
}

/// A segment of TCP, or a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The socket's: never used again.
    pub cookie: u64,
    /// When it was seen: CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// Whose socket it is.
    pub process: u32,
    /// Thread that sends; 0: not known.
    pub thread: u32,
    /// Sequence number of its first byte.
    pub sequence: u32,
    /// Bytes of payload.
    pub length: u32,
    /// The process sends it.
    pub out: bool,
    /// It is the last of its direction.
    pub fin: bool,
    /// It ends the connection.
    pub reset: bool,
    /// How it was transported.
    pub transport: Transport,
    /// The socket's own address.
    pub local: SocketAddr,
    /// The other end's.
    pub remote: SocketAddr,
    /// The first bytes of the payload, as many as were copied.
    pub bytes: Vec<u8>,
}

/// A request that an observed process sends was given a `traceparent` on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The request that its thread serves: the socket's cookie, and the number of the first byte. `None`: it serves none.
    pub served: Option<(u64, u32)>,
    /// The trace of both.
    pub trace_id: [u8; 16],
    /// The span that the request that is served has from now on.
    pub parent_id: [u8; 8],
    /// The span of the request that is sent: what the header says.
    pub span_id: [u8; 8],
    /// W3C trace flags.
    pub flags: u8,
}

impl Seen {
    /// It as part of its direction.
    pub fn segment(&self) -> Segment<'_> {
        Segment {
            direction: if self.out { Direction::Out } else { Direction::In },
            time: self.time,
            sequence: self.sequence,
            length: self.length,
            bytes: &self.bytes,
            thread: self.thread,
        }
    }
}
