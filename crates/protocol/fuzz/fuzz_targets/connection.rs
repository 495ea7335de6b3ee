//! Any bytes as segments of a connection, and as datagrams: a head of four bytes says of each its direction, its size, how
//! much of it was copied, and how far it is out of place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::dns::Datagrams;
use protocol::{Connection, Direction, Segment};

fuzz_target!(|input: &[u8]| {
    let (mut connection, mut datagrams) = (Connection::default(), Datagrams::default());
    let (mut exchanges, mut positions, mut time) = (Vec::new(), [0u32; 2], 1);
    let mut rest = input;
    while let Some((&[flags, size, left_out, shift], after)) = rest.split_first_chunk::<4>() {
        let size = usize::from(size) << (flags >> 6);
        let (bytes, after) = after.split_at(size.min(after.len()));
        rest = after;
        time += 1;
        let direction = if flags & 1 == 0 { Direction::Out } else { Direction::In };
        let position = &mut positions[usize::from(flags & 1)];
        let length = bytes.len() as u32 + if flags & 2 == 0 { 0 } else { u32::from(left_out) << 6 };
        let sequence = if flags & 4 == 0 { *position } else { position.wrapping_add(u32::from(shift)).wrapping_sub(128) };
        let segment = Segment { direction, time, sequence, length, bytes, thread: 0 };
        *position = position.wrapping_add(length);
        connection.add(&segment, &mut exchanges);
        datagrams.add(&segment, 0, &mut exchanges);
        if flags & 8 != 0 {
            time += 2_000_000_000;
            connection.look(time, &mut exchanges);
        }
    }
    connection.close(time, &mut exchanges);
    assert!(exchanges.iter().all(|exchange| exchange.ended >= exchange.begun));
});
