//! Attribute rules: what of spans, log records and metrics leaves the agent under another name or value, or not at all.
//!
//! They are applied after everything was measured and before any sink, to what the agent sees itself as to what it receives.
//! [`settings`] is what `agent.yaml` says, [`rewrite`] changes the bytes. A message that no rule is about is copied, or left where it is.

mod rewrite;
pub mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use deliver::metrics::{OwnKind, OwnMetric};
use deliver::sink::{have_room, offer_to};
use deliver::{Batch, Refused, Signal, Sink, SinkReport};
use regex::bytes::Regex;

use crate::receive::resource_of;

/// What has attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Resource,
    Scope,
    Record,
    Event,
    Link,
    Body,
}

/// All rules, in their order.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    action: Action,
    /// Of signals, a bit each.
    signals: u8,
    /// Names of services; nothing: all.
    services: Vec<Glob>,
    /// Of places, a bit each.
    places: u8,
    changed: AtomicU64,
}

#[derive(Debug)]
enum Action {
    Drop(Vec<Glob>),
    Rename {
        from: String,
        to: String,
    },
    /// The value is an `AnyValue`.
    Set {
        key: String,
        value: Vec<u8>,
        only_where_absent: bool,
    },
    Hash {
        keys: Vec<Glob>,
        secret: Option<ring::hmac::Key>,
    },
    Redact {
        keys: Vec<Glob>,
        pattern: Option<Regex>,
        replacement: Vec<u8>,
    },
}

impl Action {
    fn name(&self) -> &'static str {
        match self {
            Self::Drop(_) => "drop",
            Self::Rename { .. } => "rename",
            Self::Set { only_where_absent: false, .. } => "set",
            Self::Set { .. } => "insert",
            Self::Hash { .. } => "hash",
            Self::Redact { .. } => "redact",
        }
    }
}

impl Rule {
    fn is_on(&self, place: Place) -> bool {
        self.places & 1 << place as u8 != 0
    }

    fn is_of(&self, signal: Signal) -> bool {
        self.signals & 1 << signal as u8 != 0
    }

    fn count(&self) {
        self.changed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Rules {
    /// The batch as the rules leave it.
    pub fn apply(&self, batch: &Arc<Batch>) -> Arc<Batch> {
        let rules: Vec<&Rule> = self.rules.iter().filter(|rule| rule.is_of(batch.signal)).collect();
        if rules.is_empty() {
            return Arc::clone(batch);
        }
        match rewrite::request(&rules, batch.signal, &batch.bytes) {
            None => Arc::clone(batch),
            Some(bytes) => {
                // A batch of metrics has many resources, and names none.
                let resource = match batch.signal {
                    Signal::Metrics => Arc::clone(&batch.resource),
                    _ => resource_of(&bytes).map_or_else(|| Arc::clone(&batch.resource), Arc::new),
                };
                Arc::new(Batch { signal: batch.signal, resource, bytes: Bytes::from(bytes), records: batch.records })
            }
        }
    }

    /// How many attributes each rule has changed, with a name for the rule: its number and what it does.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let rules = self.rules.iter().enumerate();
        rules
            .map(|(index, rule)| {
                (format!("{} {}", index + 1, rule.action.name()), rule.changed.load(Ordering::Relaxed))
            })
            .collect()
    }
}

/// The rules in front of the sinks of one signal.
pub(crate) struct Stage {
    signal: Signal,
    rules: Arc<Rules>,
    behind: Vec<Arc<dyn Sink>>,
}

impl Stage {
    /// Puts one in front of the sinks of each signal, where there are rules.
    pub fn before(sinks: &mut Vec<Arc<dyn Sink>>, rules: Rules) {
        if rules.rules.is_empty() {
            return;
        }
        let rules = Arc::new(rules);
        for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
            let behind: Vec<_> = sinks.extract_if(.., |sink| sink.signal() == signal).collect();
            if !behind.is_empty() {
                sinks.push(Arc::new(Self { signal, rules: Arc::clone(&rules), behind }));
            }
        }
    }
}

impl Sink for Stage {
    fn name(&self) -> &'static str {
        match self.signal {
            Signal::Logs => "attributes_logs",
            Signal::Metrics => "attributes_metrics",
            Signal::Traces | Signal::Profiles => "attributes",
        }
    }

    fn signal(&self) -> Signal {
        self.signal
    }

    fn is_local(&self) -> bool {
        self.behind.iter().all(|sink| sink.is_local())
    }

    fn has_room(&self, batches: usize, bytes: usize) -> bool {
        have_room(&self.behind, self.signal, batches, bytes)
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        offer_to(&self.behind, &self.rules.apply(batch))
    }

    fn flush(&self, _deadline: Instant) {}

    fn report(&self) -> SinkReport {
        SinkReport { signal: self.signal, ..SinkReport::default() }
    }

    fn behind(&self) -> &[Arc<dyn Sink>] {
        &self.behind
    }

    /// The rules are the same for all signals: the stage of traces speaks for the others.
    fn metrics(&self) -> Vec<OwnMetric> {
        if self.signal != Signal::Traces {
            return Vec::new();
        }
        vec![OwnMetric {
            name: "tandem_attributes_changed_total",
            help: "Attributes that rules have changed, by rule.",
            kind: OwnKind::Counter,
            label: Some("rule"),
            points: self.rules.counts(),
        }]
    }
}

/// A pattern of names: `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob(Vec<Vec<u8>>);

impl Glob {
    fn new(pattern: &str) -> Self {
        Self(pattern.split('*').map(|part| part.as_bytes().to_vec()).collect())
    }

    fn fits(&self, name: &[u8]) -> bool {
        let (first, rest) = (&self.0[0], &self.0[1..]);
        let Some((last, middle)) = rest.split_last() else { return name == first };
        let Some(mut name) = name.strip_prefix(first.as_slice()) else { return false };
        for part in middle.iter().filter(|part| !part.is_empty()) {
            match name.windows(part.len()).position(|window| window == part) {
                Some(found) => name = &name[found + part.len()..],
                None => return false,
            }
        }
        name.ends_with(last)
    }
}

fn any_fits(globs: &[Glob], name: &[u8]) -> bool {
    globs.iter().any(|glob| glob.fits(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_fit_whole_names() {
        let fits = |pattern: &str, name: &str| Glob::new(pattern).fits(name.as_bytes());
        for (pattern, name) in [
            ("a", "a"),
            ("*", ""),
            ("*", "abc"),
            ("a*", "a"),
            ("*c", "abc"),
            ("a*c*e", "abcde"),
            ("a**e", "abcde"),
            ("*b*", "abc"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("", "a"), ("a*a", "a"), ("a*c", "ab"), ("*b*d", "abc"), ("a*bc*c", "abc")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
