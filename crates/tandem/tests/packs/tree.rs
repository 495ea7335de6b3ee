//! Spans as text that two runs have in common: a tree, without ids, times, free ports and process ids.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use model::{Attributes, Span, Value};

use crate::spans::{attribute, by_id, is_error, kind};

/// Spans as a tree: roots by their start, children by what they are, as they may run side by side.
pub fn tree(spans: &[Span]) -> String {
    let known = by_id(spans);
    let mut children: BTreeMap<_, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        let parent = span.parent_span_id.filter(|id| known.contains_key(&(span.trace_id, *id)));
        children.entry((span.trace_id, parent)).or_default().push(span);
    }
    let mut roots: Vec<&Span> =
        children.iter().filter(|(key, _)| key.1.is_none()).flat_map(|(_, spans)| spans.clone()).collect();
    roots.sort_by_key(|span| span.start_unix_nano);
    let branches: Vec<String> = roots.into_iter().map(|root| branch(root, &children, 0)).collect();
    without_ports(branches.concat(), spans)
}

type Children<'a> = BTreeMap<(model::TraceId, Option<model::SpanId>), Vec<&'a Span>>;

fn branch(span: &Span, children: &Children<'_>, depth: usize) -> String {
    let indent = "    ".repeat(depth);
    let mut text = format!("{indent}{} {}", kind(span.kind), span.name);
    if is_error(span) {
        // Both sides have the same deadline; who notices first is chance.
        let timed_out = attribute(span, "rpc.response.status_code") == "DEADLINE_EXCEEDED";
        let _ = write!(text, "  ✗ {}", if timed_out { "" } else { &span.status.message });
    }
    match (depth, span.parent_span_id) {
        (0, Some(parent)) => drop(write!(text, "  below {parent}, which is elsewhere")),
        _ if span.links.is_empty() => {}
        _ => drop(write!(text, "  {} linked", span.links.len())),
    }
    text.push('\n');
    text += &attribute_lines(&span.attributes, &format!("{indent}  ·"));
    for event in span.events.iter().take(EVENTS_SHOWN) {
        let _ = writeln!(text, "{indent}  ! {}", event.name);
        text += &attribute_lines(&event.attributes, &format!("{indent}    ·"));
    }
    if span.events.len() > EVENTS_SHOWN {
        let _ = writeln!(text, "{indent}  ! {} events", span.events.len());
    }
    let below = children.get(&(span.trace_id, Some(span.span_id))).into_iter().flatten();
    let mut below: Vec<String> = below.map(|child| branch(child, children, depth + 1)).collect();
    below.sort();
    text + &below.concat()
}

/// Events and attributes that are shown; of more only the number is.
const EVENTS_SHOWN: usize = 8;
const ATTRIBUTES_SHOWN: usize = 32;

fn attribute_lines(attributes: &Attributes, before: &str) -> String {
    let mut text = String::new();
    for (key, value) in attributes.iter().take(ATTRIBUTES_SHOWN) {
        let mut value = value.to_string().replace('\n', "\\n");
        if key == "exception.stacktrace" {
            value = "<stack>".to_owned();
        } else if key == "process.pid" {
            value = "<pid>".to_owned();
        } else if key == "cassandra.coordinator.id" {
            value = "<node>".to_owned();
        } else if key == "temporal.run.id" {
            value = "<run>".to_owned();
        } else if key == "temporal.activity.id" {
            value = "<event>".to_owned(); // counts what happened before, in whatever order
        } else if key == "gen_ai.response.time_to_first_chunk" {
            value = "<seconds>".to_owned();
        } else if value.chars().count() > 200 {
            value = format!("<{} characters>", value.chars().count());
        }
        let _ = writeln!(text, "{before} {key} = {value}");
    }
    if attributes.len() > ATTRIBUTES_SHOWN {
        let _ = writeln!(text, "{before} {} attributes", attributes.len());
    }
    text
}

/// Ports that the system chose, by the order in which they were first used.
fn without_ports(mut text: String, spans: &[Span]) -> String {
    let mut by_start: Vec<&Span> = spans.iter().collect();
    by_start.sort_by_key(|span| span.start_unix_nano);
    let keys = ["server.port", "network.peer.port", "client.port"];
    let mut seen = BTreeSet::new();
    for key in keys {
        for span in &by_start {
            let Some(Value::Int(port)) = span.attributes.get(key) else { continue };
            if *port > 1024 && seen.insert(*port) {
                text = text.replace(&port.to_string(), &format!("<port {}>", seen.len()));
            }
        }
    }
    text
}
