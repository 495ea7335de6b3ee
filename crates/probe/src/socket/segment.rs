//! What the kernel says of a segment, every field checked.

use std::net::{IpAddr, SocketAddr};

use protocol::{Given, Seen, Transport};

use crate::kernel::{Plain, value_from};
use crate::socket_skeleton::types::{tandem_given, tandem_segment};

/// `TANDEM_OUT`, and `TANDEM_SEGMENT_*` of socket.h.
const OUT: u8 = 0;
const FIN: u8 = 1;
const RESET: u8 = 2;
const GIVEN: u8 = 4;

/// What an event tells of.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    Segment(Seen),
    Given(Given),
}

/// `None`: it makes no sense.
pub(super) fn parse(bytes: &[u8]) -> Option<Told> {
    let (head, payload) = bytes.split_at_checked(size_of::<tandem_segment>())?;
    let raw: tandem_segment = value_from(head);
    if raw.flags & GIVEN != 0 {
        return given(&raw, payload).map(Told::Given);
    }
    segment(&raw, payload).map(Told::Segment)
}

fn given(raw: &tandem_segment, payload: &[u8]) -> Option<Given> {
    let given: tandem_given = value_from(payload.get(..size_of::<tandem_given>())?);
    let tandem_given { trace_id, parent_id, span_id, trace_flags, .. } = given;
    let served = (raw.cookie != 0).then_some((raw.cookie, raw.sequence));
    (span_id != [0; 8]).then_some(Given { served, trace_id, parent_id, span_id, flags: trace_flags })
}

fn segment(raw: &tandem_segment, payload: &[u8]) -> Option<Seen> {
    let copied = (raw.copied as usize).min(payload.len()).min(raw.length as usize);
    let address = |bytes: [u8; 16], port| {
        let ip = match raw.version {
            4 => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
            6 => IpAddr::from(bytes).to_canonical(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    };
    Some(Seen {
        cookie: raw.cookie,
        time: raw.time,
        process: raw.process,
        thread: raw.thread,
        sequence: raw.sequence,
        length: raw.length,
        out: raw.direction == OUT,
        fin: raw.flags & FIN != 0,
        reset: raw.flags & RESET != 0,
        transport: match raw.protocol {
            6 => Transport::Tcp,
            17 => Transport::Udp,
            _ => return None,
        },
        local: address(raw.local, raw.local_port)?,
        remote: address(raw.remote, raw.remote_port)?,
        bytes: payload[..copied].to_vec(),
    })
}

#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: integers only, padded by a field of its own (socket.h).
unsafe impl Plain for tandem_segment {}
#[expect(unsafe_code, reason = "generated from C structures that have no padding")]
// SAFETY: bytes only (socket.h).
unsafe impl Plain for tandem_given {}

#[cfg(test)]
mod tests {
    use super::*;

    /// What says that it has more bytes than there are is not believed, and what is no packet of ours is left out.
    #[test]
    fn segments_are_as_long_as_they_are() {
        let mut bytes = vec![0; size_of::<tandem_segment>() + 3];
        assert_eq!(parse(&bytes), None);
        let put = |bytes: &mut Vec<u8>, at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(&mut bytes, std::mem::offset_of!(tandem_segment, version), &[4]);
        put(&mut bytes, std::mem::offset_of!(tandem_segment, protocol), &[6]);
        put(&mut bytes, std::mem::offset_of!(tandem_segment, length), &100u32.to_ne_bytes());
        put(&mut bytes, std::mem::offset_of!(tandem_segment, copied), &100u32.to_ne_bytes());
        put(&mut bytes, std::mem::offset_of!(tandem_segment, local), &[127, 0, 0, 1]);
        let Some(Told::Segment(segment)) = parse(&bytes) else { panic!("a segment") };
        assert_eq!((segment.bytes.len(), segment.length, segment.out), (3, 100, true));
        assert_eq!(segment.local.to_string(), "127.0.0.1:0");
        assert_eq!(parse(&bytes[..8]), None);
        put(&mut bytes, std::mem::offset_of!(tandem_segment, flags), &[GIVEN]);
        assert_eq!(parse(&bytes), None, "it does not say what was given");
    }
}
