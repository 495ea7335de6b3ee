//! The operations that a program has registered, of packs and of functions marked with `//tandem:span`, whether they are on, and which calls of them are not sampled because
//! of what they ask for. Switched as functions are: by whoever holds the lock, whether there is an agent or not.

use std::sync::atomic::Ordering;

use crate::functions::Switchboard;
use crate::layout::{CONTROL, QUIET, QUIET_COUNT};
use crate::tables::Tables;
use crate::{Control, Functions};

/// Longest pattern of calls that are not sampled, in bytes.
pub const PATTERN_LIMIT: usize = QUIET.size - QUIET.at("pattern");

/// An operation: what makes spans in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its number in records.
    pub number: u32,
    /// The join point's id: `net/http.server`.
    pub id: String,
    /// Kind of its spans, as in OTLP (1 to 5).
    pub kind: u8,
    /// Whether it makes spans.
    pub on: bool,
    /// What its calls ask for that are not sampled; `*` is any text.
    pub quiet: Vec<String>,
}

impl Operation {
    /// Whether a name means it: its id, or what its id begins with before a dot, as a pack's name.
    pub fn is_named(&self, name: &str) -> bool {
        self.id.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl Functions {
    /// The operations, in the order in which the program has registered them.
    pub fn operations(&self) -> Vec<Operation> {
        let tables = Tables::new(self.mapping(), self.header());
        let geometry = &self.header().geometry;
        let control = geometry.control;
        let count = Control::new(self.mapping(), geometry).count("descriptor_count").min(geometry.descriptor_count);
        let mapping = self.mapping();
        let quiet = self.quiet();
        let operation = |number: u32| {
            let descriptor = tables.descriptor(number).filter(|descriptor| !descriptor.api)?;
            let word = control + const { CONTROL.at("disabled") } + number as usize / 64 * 8;
            let off = mapping.word64(word).load(Ordering::Acquire) >> (number % 64) & 1 == 1;
            let quiet = quiet.iter().filter(|(of, _)| *of == number).map(|(_, pattern)| pattern.clone()).collect();
            Some(Operation { number, id: descriptor.id, kind: descriptor.kind, on: !off, quiet })
        };
        (1..=count).filter_map(operation).filter(|operation| operation.id.contains('.')).collect()
    }

    /// Calls that are not sampled: of which operation, and what they ask for.
    fn quiet(&self) -> Vec<(u32, String)> {
        let mapping = self.mapping();
        let entry = |index: usize| {
            let at = self.quiet_at(index);
            let of = mapping.word32(at + const { QUIET.at("descriptor") }).load(Ordering::Acquire);
            let size = mapping.word32(at + const { QUIET.at("size") }).load(Ordering::Acquire) as usize;
            let mut text = [0; PATTERN_LIMIT];
            mapping.copy_out(at + const { QUIET.at("pattern") }, &mut text);
            let text = text.get(..size)?;
            let pattern = String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            (of != 0).then_some((of, pattern))
        };
        (0..QUIET_COUNT).filter_map(entry).collect()
    }

    fn quiet_at(&self, index: usize) -> usize {
        self.header().geometry.control + const { CONTROL.at("quiet") } + index * QUIET.size
    }
}

/// Why a call is still sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuietError {
    /// The table is full.
    #[error("a program can have at most {QUIET_COUNT} patterns of calls that are not sampled")]
    Full,
    /// The pattern does not fit.
    #[error("a pattern has 1 to {PATTERN_LIMIT} bytes")]
    Long,
}

impl Switchboard<'_> {
    /// Switches an operation on or off.
    pub fn set_operation(&mut self, operation: &Operation, on: bool) {
        let functions = self.functions();
        Control::new(functions.mapping(), &functions.header().geometry).set_disabled(operation.number, !on);
    }

    /// From now on calls of an operation that ask for this are not sampled.
    pub fn add_quiet(&mut self, operation: &Operation, pattern: &str) -> Result<(), QuietError> {
        if pattern.is_empty() || pattern.len() > PATTERN_LIMIT {
            return Err(QuietError::Long);
        }
        let functions = self.functions();
        let mapping = functions.mapping();
        if functions.quiet().contains(&(operation.number, pattern.to_owned())) {
            return Ok(());
        }
        let of = |index| mapping.word32(functions.quiet_at(index) + const { QUIET.at("descriptor") });
        let free = (0..QUIET_COUNT).find(|&index| of(index).load(Ordering::Acquire) == 0).ok_or(QuietError::Full)?;
        let at = functions.quiet_at(free);
        let mut text = [0; PATTERN_LIMIT];
        text[..pattern.len()].copy_from_slice(pattern.as_bytes());
        mapping.copy_in(at + const { QUIET.at("pattern") }, &text);
        mapping.word32(at + const { QUIET.at("size") }).store(pattern.len() as u32, Ordering::Release);
        of(free).store(operation.number, Ordering::Release);
        let count = mapping.word32(functions.header().geometry.control + const { CONTROL.at("quiet_count") });
        count.fetch_max(free as u32 + 1, Ordering::AcqRel);
        Ok(())
    }

    /// Takes a pattern back; says whether it was there.
    pub fn remove_quiet(&mut self, operation: &Operation, pattern: &str) -> bool {
        let functions = self.functions();
        let mapping = functions.mapping();
        let mut found = false;
        for index in 0..QUIET_COUNT {
            let at = functions.quiet_at(index);
            let of = mapping.word32(at + const { QUIET.at("descriptor") });
            let size = mapping.word32(at + const { QUIET.at("size") }).load(Ordering::Acquire) as usize;
            let mut text = [0; PATTERN_LIMIT];
            mapping.copy_out(at + const { QUIET.at("pattern") }, &mut text);
            let is_it = of.load(Ordering::Acquire) == operation.number && text.get(..size) == Some(pattern.as_bytes());
            if is_it {
                of.store(0, Ordering::Release);
                found = true;
            }
        }
        found
    }
}
