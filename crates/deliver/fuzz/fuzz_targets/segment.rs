//! Any bytes as a segment of the retry queue, and a sound segment with some of its bytes changed: reading ends, pieces follow each
//! other without a gap, what is sound and was not touched is found.
#![no_main]

use bytes::Bytes;
use deliver::retry::segment::{self, HEAD, Head, Piece, Pieces, RECORD_HEAD};
use libfuzzer_sys::fuzz_target;

fn pieces(file: &[u8]) -> Vec<(u64, Piece)> {
    let Some(rest) = file.get(HEAD..) else { return Vec::new() };
    let mut begin = HEAD as u64;
    let mut found = Vec::new();
    for piece in Pieces::of(Bytes::copy_from_slice(rest), begin) {
        let end = match &piece {
            Piece::Record(record) => {
                assert_eq!(record.end - begin, (RECORD_HEAD + record.message.len()) as u64);
                record.end
            }
            Piece::Damaged { end, records } => {
                assert!(*records > 0);
                *end
            }
        };
        assert!(end > begin);
        found.push((begin, piece));
        begin = end;
    }
    assert_eq!(begin, file.len() as u64);
    found
}

fuzz_target!(|input: &[u8]| {
    if let Head::Known { done } = segment::read_head(input) {
        assert!(done >= HEAD);
    }
    pieces(input);

    // Records of lengths that the input says, then changes where it says.
    let (lengths, changes) = input.split_at(input.len() / 2);
    let mut file = segment::head(0).to_vec();
    let mut ends = Vec::new();
    for (index, &length) in lengths.iter().take(64).enumerate() {
        let message = vec![length; length.into()];
        let head = segment::record_head(file.len() as u64, &message, 1, index as u32, 0);
        file.extend(head);
        file.extend(&message);
        ends.push(file.len());
    }
    let mut touched = Vec::new();
    for change in changes.chunks_exact(3).take(8) {
        let at = HEAD + usize::from(u16::from_le_bytes([change[0], change[1]]));
        if at < file.len() && change[2] != 0 {
            file[at] ^= change[2];
            touched.push(at);
        }
    }
    let found = pieces(&file);
    let mut begin = HEAD;
    for end in ends {
        let is_sound = !touched.iter().any(|at| (begin..end).contains(at));
        let is_found = found.iter().any(|(at, piece)| *at == begin as u64 && matches!(piece, Piece::Record(_)));
        assert!(!is_sound || is_found, "the record at {begin} is sound");
        begin = end;
    }
});
