//! The closed loop: from what was seen of programs to the next change. Spans, samples of stacks and what is known of programs
//! go in; blind spots come out, each with its evidence and the change that ends it (docs/advise.md).
//!
//! No I/O here: `tandem advise` gathers the [`Facts`] and carries out what [`Act`]s say. `time` (which time spans explain) and
//! `stacks` (which functions of a stack ran within its span) are what `functions`, `libraries`, `context` and `noise` look at;
//! `edit` changes the text of a `tandem.yaml`.

mod context;
pub mod edit;
mod facts;
mod functions;
mod libraries;
mod noise;
mod stacks;
#[cfg(test)]
mod testing;
mod time;

use model::TraceId;
use serde::Serialize;

pub use edit::{Edit, EditError};
pub use facts::{Configuration, Dormant, Facts, KnownOperation, KnownPack, Module, PackState, Program, Sample};
pub use time::{ServiceTime, times};

/// Traces that are named as examples.
const EXAMPLES: usize = 3;

/// What kind of blind spot it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Time inside spans that nothing explains.
    Unexplained,
    /// A function that is hot and has no span.
    HotFunction,
    /// A library that nobody owns.
    Library,
    /// Traces that lost their context.
    LostContext,
    /// A join point that costs more than it tells.
    Noise,
}

/// Something to do about a blind spot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Act {
    /// Switch functions on that are woven dormant into programs of a service: they run now.
    Enable {
        /// Import path and name.
        function: String,
        /// `service.name`.
        service: String,
    },
    /// Switch an operation, or a function, off in programs of a service.
    Disable {
        /// The operation's id, or the function's import path and name.
        operation: String,
        /// `service.name`.
        service: String,
    },
    /// Change `tandem.yaml`, and build again.
    Configure(Edit),
    /// What a person has to do, as a sentence or a command.
    Advise {
        /// The words.
        text: String,
    },
}

/// A blind spot, and what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// Its kind.
    pub kind: Kind,
    /// Whose.
    pub service: String,
    /// One line.
    pub title: String,
    /// What was seen, with figures; a line each.
    pub evidence: Vec<String>,
    /// Examples.
    pub traces: Vec<TraceId>,
    /// What it is worth: the share of the service's time, spans or traces that it is about, from 0 to 1.
    pub share: f64,
    /// What to do, the best first.
    pub acts: Vec<Act>,
}

/// All that there is to say, the most valuable first.
pub fn advise(facts: &Facts) -> Vec<Advice> {
    let times = times(facts);
    let mut found = functions::advise(facts, &times);
    found.extend(time::advise(facts, &times));
    found.extend(libraries::advise(facts));
    found.extend(context::advise(facts));
    found.extend(noise::advise(facts));
    found.sort_by(|one, other| {
        other.share.total_cmp(&one.share).then_with(|| (one.kind, &one.title).cmp(&(other.kind, &other.title)))
    });
    found
}

/// `41 %`
fn percent(share: f64) -> String {
    match share * 100.0 {
        share if share > 0.0 && share < 1.0 => format!("{share:.1} %"),
        share => format!("{share:.0} %"),
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Keeps the first few different traces.
fn remember(examples: &mut Vec<TraceId>, trace: TraceId) {
    if examples.len() < EXAMPLES && !examples.contains(&trace) {
        examples.push(trace);
    }
}
