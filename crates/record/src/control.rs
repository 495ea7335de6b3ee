//! The control page: what the agent tells the program. Only its first half is ever written here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::MonotonicNanos;
use crate::header::{Geometry, RouteGeometry};
use crate::layout::{
    CONTROL, CONTROL_PAUSED, CONTROL_ROUTES, CONTROL_RULES, CONTROL_SAMPLING, DESCRIPTOR_COUNT, ROUTE, RULE, RULE_ALL,
    RULE_COUNT, RULE_USED,
};
use crate::memory::Mapping;

/// Counters that the program keeps about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramCounters {
    /// Spans that found the in-flight table full.
    pub lost_entries: u64,
    /// Attribute values cut or left out for want of room.
    pub cut_attributes: u64,
    /// Descriptors and keys that did not fit their tables.
    pub lost_names: u64,
    /// Log records of which something was cut or left out for want of room.
    pub cut_logs: u64,
}

/// What is recorded of the spans of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The operation; `None`: all that no other rule names.
    pub operation: Option<u32>,
    /// New roots are recorded when the high 16 of their trace id's low 56 bits are not below this, and the program's own sampler agrees.
    pub threshold: u16,
    /// In so many of 256 traces, 255: in all, spans with a parent in the program are only counted; their children become the parent's.
    pub counted: u8,
    /// New roots are all recorded, whatever the program's own sampler says.
    pub all: bool,
}

impl Rule {
    fn word(self) -> u64 {
        const THRESHOLD: usize = RULE.at("threshold") * 8;
        const FLAGS: usize = RULE.at("flags") * 8;
        const COUNTED: usize = RULE.at("counted") * 8;
        let flags = if self.all { RULE_USED | RULE_ALL } else { RULE_USED };
        let of_roots = u64::from(self.threshold) << THRESHOLD | u64::from(flags) << FLAGS;
        u64::from(self.operation.unwrap_or(0)) | of_roots | u64::from(self.counted) << COUNTED
    }
}

/// Longest pattern of a route, in bytes.
pub const ROUTE_LIMIT: usize = ROUTE.size - ROUTE.at("pattern");

/// How many new traces are recorded of those that ask for something, whatever is said of their operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Compared with a URL's path, or a full method; `*` is any text. A longer one than [`ROUTE_LIMIT`] is cut, and is about whatever begins so.
    pub pattern: String,
    /// As a rule's.
    pub threshold: u16,
    /// As a rule's.
    pub all: bool,
}

impl Route {
    /// What a program reads: the text, padded, and its length.
    fn text(&self) -> ([u8; ROUTE_LIMIT], usize) {
        let mut text = [0; ROUTE_LIMIT];
        let size = self.pattern.len().min(ROUTE_LIMIT);
        text[..size].copy_from_slice(&self.pattern.as_bytes()[..size]);
        if size < self.pattern.len() {
            text[size - 1] = b'*';
        }
        (text, size)
    }
}

/// Writer of one program's control page.
#[derive(Debug)]
pub struct Control {
    mapping: Arc<Mapping>,
    page: usize,
    routes: Option<RouteGeometry>,
}

impl Control {
    pub(crate) fn new(mapping: Arc<Mapping>, geometry: &Geometry) -> Self {
        Self { mapping, page: geometry.control, routes: geometry.routes }
    }

    /// Says that an agent is there.
    pub fn beat(&self, now: MonotonicNanos) {
        self.mapping.word64(self.page + const { CONTROL.at("heartbeat") }).store(now.0, Ordering::Release);
    }

    /// Asks the program to connect (once).
    pub fn raise_generation(&self) {
        self.mapping.word32(self.page + const { CONTROL.at("generation") }).fetch_add(1, Ordering::AcqRel);
    }

    /// Replaces the program's own sampling ratio for new roots: those are rejected whose trace id's low 56 bits are
    /// below the threshold. `None` leaves the decision to the program.
    pub fn set_sampling_threshold(&self, threshold: Option<u64>) {
        self.mapping
            .word64(self.page + const { CONTROL.at("sampling_threshold") })
            .store(threshold.unwrap_or(0), Ordering::Release);
        self.set_flag(CONTROL_SAMPLING, threshold.is_some());
    }

    /// No spans at all for now.
    pub fn set_paused(&self, paused: bool) {
        self.set_flag(CONTROL_PAUSED, paused);
    }

    /// Switches a join point off or on again, by its operation's id. Ids that no program can have are ignored.
    pub fn set_disabled(&self, descriptor: u32, disabled: bool) {
        if descriptor as usize >= DESCRIPTOR_COUNT {
            return;
        }
        let word = self.mapping.word64(self.page + const { CONTROL.at("disabled") } + descriptor as usize / 64 * 8);
        let bit = 1 << (descriptor % 64);
        if disabled {
            word.fetch_or(bit, Ordering::AcqRel);
        } else {
            word.fetch_and(!bit, Ordering::AcqRel);
        }
    }

    /// Says what is recorded of single operations, in place of what was said before. At most `RULE_COUNT` rules have room.
    pub fn set_rules(&self, rules: &[Rule]) {
        for index in 0..RULE_COUNT {
            let word = self.mapping.word64(self.page + const { CONTROL.at("rules") } + index * RULE.size);
            word.store(rules.get(index).map_or(0, |rule| rule.word()), Ordering::Release);
        }
        self.set_flag(CONTROL_RULES, !rules.is_empty());
    }

    /// How many routes the program can be told of at once; 0: it was woven by a Tandem that knew none.
    pub fn route_count(&self) -> usize {
        self.routes.map_or(0, |routes| routes.route_count as usize)
    }

    /// Says how many new traces are recorded by what they ask for, in place of what was said before; the first route that fits counts. Those
    /// beyond [`Control::route_count`] have no room.
    pub fn set_routes(&self, routes: &[Route]) {
        let Some(table) = self.routes else { return };
        for index in 0..table.route_count as usize {
            let at = table.routes + index * ROUTE.size;
            let word = self.mapping.word64(at + const { ROUTE.at("word") });
            word.store(0, Ordering::Release);
            let Some(route) = routes.get(index) else { continue };
            let (text, size) = route.text();
            self.mapping.word32(at + const { ROUTE.at("size") }).store(size as u32, Ordering::Release);
            self.mapping.copy_in(at + const { ROUTE.at("pattern") }, &text);
            let rule = Rule { threshold: route.threshold, all: route.all, ..Rule::default() };
            word.store(rule.word(), Ordering::Release);
        }
        self.set_flag(CONTROL_ROUTES, self.route_count() > 0 && !routes.is_empty());
    }

    /// What the program counts about itself.
    pub fn counters(&self) -> ProgramCounters {
        let counter = |name| self.mapping.word64(self.page + CONTROL.at(name)).load(Ordering::Relaxed);
        ProgramCounters {
            lost_entries: counter("lost_entries"),
            cut_attributes: counter("cut_attributes"),
            lost_names: counter("lost_names"),
            cut_logs: counter("cut_logs"),
        }
    }

    /// A count of the program's half, by its name.
    pub(crate) fn count(&self, name: &str) -> u32 {
        self.mapping.word32(self.page + CONTROL.at(name)).load(Ordering::Acquire)
    }

    /// When the program last brought its instruments up to date; `None`: never.
    pub fn instruments_read(&self) -> Option<MonotonicNanos> {
        let word = self.mapping.word64(self.page + const { CONTROL.at("instruments_read") });
        Some(word.load(Ordering::Acquire)).filter(|&moment| moment != 0).map(MonotonicNanos)
    }

    fn set_flag(&self, flag: u32, on: bool) {
        let flags = self.mapping.word32(self.page + const { CONTROL.at("flags") });
        if on {
            flags.fetch_or(flag, Ordering::AcqRel);
        } else {
            flags.fetch_and(!flag, Ordering::AcqRel);
        }
    }
}
