//! What a program says of itself when it connects.
//!
//! Anybody can connect: who it is the kernel says (`SO_PEERCRED`), and what it says itself only counts where it agrees.

use crate::bytes;
use crate::layout::{HELLO, HELLO_MAGIC};

/// A program's first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its process id, as it sees it.
    pub pid: u32,
    /// Why it has no memory to show, an errno; 0: it has some.
    pub refused: u32,
}

impl Hello {
    /// Reads a message; `None`: it is none of ours.
    pub fn parse(message: &[u8]) -> Option<Self> {
        if message.len() != HELLO.size || bytes::u32_at(message, HELLO.at("magic")) != HELLO_MAGIC {
            return None;
        }
        let has_memory = bytes::u64_at(message, HELLO.at("file_size")) != 0;
        let reason = bytes::u32_at(message, HELLO.at("generation"));
        Some(Self {
            pid: bytes::u32_at(message, HELLO.at("pid")),
            refused: if has_memory { 0 } else { reason.min(MAX_ERRNO) },
        })
    }
}

/// The largest error number of the kernel.
const MAX_ERRNO: u32 = 4095;
