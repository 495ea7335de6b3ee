//! For whom an operation is of which only its socket tells.

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::event::{Event, Kind, Parent};
use super::skeleton::types::tandem_ends;

const ENDS: usize = 0;
const POSITION: usize = 0;

/// A client is about to write on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    /// The connection's ends, as the client has them.
    pub local: SocketAddr,
    /// The same.
    pub remote: SocketAddr,
    /// Number of the next byte, as TCP counts.
    pub position: u32,
    /// The span that it works for, with its trace, if there is one.
    pub parent: Option<([u8; 16], [u8; 8])>,
    /// W3C trace flags of that.
    pub flags: u8,
    /// How that was found, for `tandem.parent.source`.
    pub found: Option<&'static str>,
}

impl Asking {
    /// What an event says. `None`: it is of a span.
    pub fn of(event: &Event<'_>) -> Option<Self> {
        let ends = Some(event.text(ENDS))
            .filter(|ends| event.kind == Kind::Asking && ends.len() == size_of::<tandem_ends>())?;
        let address = |at: usize, port: usize| {
            let bytes: [u8; 16] = ends[at..at + 16].try_into().expect("sixteen bytes");
            let port = u16::from_ne_bytes(ends[port..port + 2].try_into().expect("two bytes"));
            SocketAddr::new(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(), port)
        };
        Some(Self {
            local: address(offset_of!(tandem_ends, local), offset_of!(tandem_ends, local_port)),
            remote: address(offset_of!(tandem_ends, remote), offset_of!(tandem_ends, remote_port)),
            position: event.number(POSITION) as u32,
            parent: (event.parent != Parent::None).then_some((event.trace_id, event.parent_id)),
            flags: event.trace_flags,
            found: event.parent.name(),
        })
    }
}
