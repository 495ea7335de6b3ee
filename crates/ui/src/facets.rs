//! Which attributes tell the traces of a list apart: those of which a few values are common. Looked for in the newest traces
//! that fit, in all of their spans and in the resources of their programs.

use std::collections::{BTreeMap, BTreeSet};

use model::{Span, Value};
use serde::Serialize;
use store::Trace;

/// Traces that are looked at.
pub const TRACES: usize = 300;
/// Spans of theirs.
pub const SPANS: u64 = 20_000;
/// Keys that are told.
const MOST_KEYS: usize = 8;
/// A key of which there are more values tells single requests apart, not kinds of them.
const MOST_VALUES: usize = 12;
/// Longer values are texts.
const LONGEST: usize = 60;
/// What says where something ran or how it was measured, and what other facets show already.
const NOT_TOLD: [&str; 13] = [
    "client.",
    "code.",
    "db.query.",
    "http.route",
    "network.",
    "os.",
    "process.",
    "server.",
    "service.name",
    "tandem.",
    "telemetry.",
    "thread.",
    "url.",
];

/// The values of an attribute.
#[derive(Debug, PartialEq, Serialize)]
pub struct Facet {
    key: String,
    /// How many traces have it, the most frequent first.
    values: Vec<(String, usize)>,
}

/// Of these traces.
pub fn attributes(traces: &[Trace]) -> Vec<Facet> {
    let mut counts: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
    for trace in traces {
        for (key, value) in said(&trace.spans) {
            *counts.entry(key).or_default().entry(value).or_default() += 1;
        }
    }
    counts.retain(|_, values| (2..=MOST_VALUES).contains(&values.len()));
    let mut facets: Vec<(usize, Facet)> = counts
        .into_iter()
        .map(|(key, values)| {
            let told = values.values().sum();
            let mut values: Vec<_> = values.into_iter().collect();
            values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            (told, Facet { key: key.to_owned(), values })
        })
        .collect();
    facets.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.key.cmp(&b.1.key)));
    facets.truncate(MOST_KEYS);
    facets.into_iter().map(|(_, facet)| facet).collect()
}

/// What the spans of a trace say, each pair once.
fn said(spans: &[Span]) -> BTreeSet<(&str, String)> {
    let mut said = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for span in spans {
        let resource = seen.insert(std::sync::Arc::as_ptr(&span.resource)).then_some(&span.resource.attributes);
        for (key, value) in span.attributes.iter().chain(resource.into_iter().flatten()) {
            let simple = matches!(value, Value::Bool(_) | Value::Int(_) | Value::String(_));
            if !simple || NOT_TOLD.iter().any(|prefix| key.starts_with(prefix)) {
                continue;
            }
            let value = value.to_string();
            if value.len() <= LONGEST {
                said.insert((key.as_str(), value));
            }
        }
    }
    said
}
