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
