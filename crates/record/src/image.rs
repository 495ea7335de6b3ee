//! A memory file kept as an ordinary one, for tests with what programs of earlier layouts wrote.
//!
//! ```text
//! "TANDEMIM" │ size of the file │ then each piece that is not zero: offset │ length │ bytes         (all numbers 8 bytes)
//! ```

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::MemfdFlags;

use crate::layout::MEMFD_NAME;

const MAGIC: [u8; 8] = *b"TANDEMIM";
/// Zeros of this length and more are left out.
const GRAIN: usize = 64;

/// What is in a file.
pub fn save(file: &File) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    let mut image = [MAGIC, size.to_le_bytes()].concat();
    let mut buffer = vec![0; 1 << 20];
    let (mut offset, mut piece) = (0u64, Vec::new());
    loop {
        let read = file.read_at(&mut buffer, offset)?;
        for (index, grain) in buffer[..read].chunks(GRAIN).enumerate() {
            let empty = grain.iter().all(|&byte| byte == 0);
            if !empty {
                piece.extend_from_slice(grain);
            }
            if empty {
                put(&mut image, offset + (index * GRAIN) as u64, &mut piece);
            }
        }
        offset += read as u64;
        if read == 0 {
            put(&mut image, offset, &mut piece);
            return Ok(image);
        }
    }
}

/// Adds a piece that ends there.
fn put(image: &mut Vec<u8>, end: u64, piece: &mut Vec<u8>) {
    if !piece.is_empty() {
        image.extend_from_slice(&(end - piece.len() as u64).to_le_bytes());
        image.extend_from_slice(&(piece.len() as u64).to_le_bytes());
        image.append(piece);
    }
}

/// A memory file with that in it.
pub fn load(image: &[u8]) -> io::Result<OwnedFd> {
    let damaged = || io::Error::new(ErrorKind::InvalidData, "this is no image of a memory file");
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).map_err(|_| damaged());
    let (head, mut rest) = image.split_at_checked(16).ok_or_else(damaged)?;
    if head[..8] != MAGIC {
        return Err(damaged());
    }
    let memory = rustix::fs::memfd_create(MEMFD_NAME, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let file = File::from(memory);
    file.set_len(number(&head[8..])?)?;
    while let Some((head, more)) = rest.split_at_checked(16) {
        let length = usize::try_from(number(&head[8..])?).map_err(|_| damaged())?;
        let (piece, after) = more.split_at_checked(length).ok_or_else(damaged)?;
        file.write_all_at(piece, number(&head[..8])?)?;
        rest = after;
    }
    Ok(file.into())
}
