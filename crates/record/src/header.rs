//! The header page: what a program says about itself, checked before anything is believed.

use crate::layout::HEADER_HAS_ACCOUNTS;

/// How the kernel half finds the current goroutine's account in a process. The numbers are the program's own claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderFacts {
    /// `header.flags`.
    pub flags: u32,
    /// Account slots that the program can use.
    pub accounts_size: u32,
    /// Where a thread's g pointer lies, from its thread pointer.
    pub tls_g_offset: i64,
    /// Offset of `g.m`.
    pub g_m_offset: u32,
    /// Offset of `m.curg`.
    pub m_curg_offset: u32,
    /// Offset of the slot from g.
    pub slot_offset: u32,
    /// Offset of the account word from g.
    pub account_offset: u32,
    /// Run-time address of `runtime.g0`.
    pub g0_address: u64,
}

impl HeaderFacts {
    /// The program has accounts at all.
    pub fn has_accounts(&self) -> bool {
        self.flags & HEADER_HAS_ACCOUNTS != 0
    }
}
