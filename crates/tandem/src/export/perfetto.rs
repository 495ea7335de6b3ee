//! Chrome's trace event format, which ui.perfetto.dev shows: a process a service, in it as many tracks as spans lie beside
//! each other, arrows where a request goes from one service to another.
//!
//! On a track a slice must lie within the one that it began in, which spans of concurrent goroutines do not: each span goes
//! to its parent's track if it fits there, else to the first on which it does.

use std::collections::HashMap;
use std::io::Write;

use model::{Span, SpanId, TraceId};
use serde_json::{Value, json};
use store::Reader;

/// Writes traces as one JSON object. Its times count from `origin`, ns since 1970: readers keep them as floating-point
/// numbers, in which those of today have no nanoseconds.
pub fn write(out: &mut dyn Write, reader: &Reader, traces: &[TraceId], origin: u64) -> anyhow::Result<()> {
    let mut writer = Writer { out, origin, processes: HashMap::new(), is_first: true };
    let head = "\"displayTimeUnit\":\"ns\",\"otherData\":{\"start_unix_nano\":";
    writeln!(writer.out, "{{{head}\"{origin}\"}},\"traceEvents\":[")?;
    for trace in traces {
        if let Some(trace) = reader.trace(*trace)? {
            writer.write_trace(&trace.spans)?;
        }
    }
    writeln!(writer.out, "\n]}}")?;
    Ok(())
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    origin: u64,
    /// Services, and the ends of what is open on each of their tracks.
    processes: HashMap<String, (usize, Vec<Track>)>,
    is_first: bool,
}

/// Ends of the slices that are open on a track, the innermost last.
type Track = Vec<u64>;

/// Where a span is drawn.
#[derive(Clone, Copy, PartialEq)]
struct Place {
    process: usize,
    track: usize,
}

impl Writer<'_> {
    fn write_trace(&mut self, spans: &[Span]) -> anyhow::Result<()> {
        // Traces do not share tracks: one that was slow would push others around.
        self.processes.values_mut().for_each(|(_, tracks)| tracks.iter_mut().for_each(Track::clear));
        let mut in_order: Vec<&Span> = spans.iter().collect();
        // What lies around another comes first.
        in_order.sort_by_key(|span| (span.start_unix_nano, std::cmp::Reverse(span.duration_ns)));
        let mut places: HashMap<SpanId, Place> = HashMap::new();
        for span in in_order {
            let parent = span.parent_span_id.and_then(|parent| places.get(&parent).copied());
            let place = self.place(span, parent)?;
            places.insert(span.span_id, place);
            let event = self.slice(span, place);
            self.event(&event)?;
            if let Some(parent) = parent.filter(|parent| parent.process != place.process) {
                for (phase, at) in [("s", parent), ("f", place)] {
                    let event = self.arrow(span, phase, at);
                    self.event(&event)?;
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Value) -> anyhow::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            writeln!(self.out, ",")?;
        }
        Ok(serde_json::to_writer(&mut *self.out, event)?)
    }

    fn place(&mut self, span: &Span, parent: Option<Place>) -> anyhow::Result<Place> {
        let (start, end) = (span.start_unix_nano, span.start_unix_nano.saturating_add(span.duration_ns));
        if !self.processes.contains_key(&span.service) {
            let process = self.processes.len() + 1;
            self.processes.insert(span.service.clone(), (process, Vec::new()));
            self.event(
                &json!({ "ph": "M", "name": "process_name", "pid": process, "args": { "name": span.service } }),
            )?;
        }
        let (process, tracks) = self.processes.get_mut(&span.service).expect("it is there now");
        let fits = |track: &mut Track| {
            while track.last().is_some_and(|open| *open <= start) {
                track.pop();
            }
            track.last().is_none_or(|open| end <= *open)
        };
        let of_parent = parent.filter(|parent| parent.process == *process).map(|parent| parent.track);
        let track = match of_parent.filter(|&track| fits(&mut tracks[track])) {
            Some(track) => track,
            None => tracks.iter_mut().position(fits).unwrap_or(tracks.len()),
        };
        if track == tracks.len() {
            tracks.push(Track::new());
        }
        tracks[track].push(end);
        Ok(Place { process: *process, track })
    }
}

/// What the format counts in.
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

impl Writer<'_> {
    fn slice(&self, span: &Span, place: Place) -> Value {
        let mut arguments = json!({
            "trace_id": span.trace_id,
            "span_id": span.span_id,
            "kind": span.kind,
            "status": span.status.code,
            "attributes": span.attributes,
        });
        if let Some(anatomy) = &span.anatomy {
            arguments["anatomy_ns"] = json!(anatomy.parts_ns);
        }
        json!({
            "ph": "X",
            "name": span.name,
            "cat": span.scope,
            "pid": place.process,
            "tid": place.track + 1,
            "ts": micros(span.start_unix_nano.saturating_sub(self.origin)),
            "dur": micros(span.duration_ns),
            "args": arguments,
        })
    }

    /// One end of an arrow from the caller's service to the called one's.
    fn arrow(&self, span: &Span, phase: &str, at: Place) -> Value {
        json!({
            "ph": phase,
            "bp": "e",
            "id": span.span_id,
            "name": "request",
            "cat": "request",
            "pid": at.process,
            "tid": at.track + 1,
            "ts": micros(span.start_unix_nano.saturating_sub(self.origin)),
        })
    }
}
