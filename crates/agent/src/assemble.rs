//! Records become spans: name from the operation's template, wall-clock times, anatomy, metric dimensions.
//!
//! One assembler a program. It believes nothing: a record that makes no sense is counted by cause and left out, an
//! attribute whose key nobody registered is counted and left out.

mod names;
mod noted;
mod series;

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use deliver::Batch;
use deliver::metrics::Exemplar;
use deliver::otlp::builder::BatchBuilder;
use deliver::otlp::encode::{ClockOffset, KeyTable, SpanEncoder, SpanFacts};
use foldhash::fast::{FixedState, RandomState};
use model::{FOLDED_PREFIX, Resource, Source};
use record::layout::kind::{CLIENT, INTERNAL};
use record::layout::status::ERROR;
use record::layout::{self, FIRST_NON_METRIC_KEY, PARTS, RECORD, RECORD_FLAG_CUT, RECORD_FLAG_REMOTE_PARENT, item};
use record::{
    AnyValue, HeaderFacts, Item, Items, Key, MonotonicNanos, RecordBuilder, RecordError, SeriesDelta, SpanRecord,
    Tables, Value,
};

use crate::fold::{self, Fold, Folded, Folds, Left, Short};
use crate::graph::Ends;
use crate::kernel::SpanSystemCalls;
use crate::limits::Limits;
use crate::measure::{self, Besides, Measure, SeriesIndex};
use names::{Keys, Names, Operations};
use noted::Noted;
use series::{append, find_series, named, red_key, remember};

/// Spans that wait for their children at once.
const HELD_LIMIT: usize = 1024;
/// Where a record has its parent.
const PARENT: usize = RECORD.at("parent_span_id");
const DATABASE: u16 = layout::key("db.system.name");

/// What was wrong with records, by cause.
pub type Faults = BTreeMap<&'static str, u64>;

/// When a span ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As its record says.
    Recorded,
    /// Its program ended first, which was noticed at this moment.
    Noticed(MonotonicNanos),
}

/// A record has become a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// Its id.
    pub span_id: [u8; 8],
    /// It has no parent.
    pub root: bool,
    /// Its program ended first.
    pub unfinished: bool,
    /// It is only a number on its parent.
    pub folded: bool,
}

/// Makes the spans of one program.
#[derive(Debug)]
pub struct Assembler {
    names: Names,
    builder: BatchBuilder,
    resource: Arc<Resource>,
    service: Arc<str>,
    series: HashMap<Vec<u8>, SeriesIndex, RandomState>,
    faults: Faults,
    limits: Limits,
    folds: Folds,
    /// Records of spans whose children may still come, and how often all rings have been read since.
    held: Vec<(Vec<u8>, Ending, u32)>,
    /// Parts of the anatomy that can be measured, a bit each.
    parts: u32,
    /// Parts that spans which began before a moment do not have.
    absent: (u32, MonotonicNanos),
    system_calls: Option<Box<dyn SpanSystemCalls>>,
    /// Where its spans come from that nobody made by hand.
    source: Source,
    /// Its spans are measured here.
    measures: bool,
    /// Requests that were answered, since somebody last asked.
    requests: u64,
    working: Working,
}

/// Spans of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpansDone {
    /// That left a record.
    pub recorded: u64,
    /// Of these, those that begin a trace.
    pub roots: u64,
    /// Of the recorded, those without a parent in their program.
    pub outermost: u64,
    /// That left only a count.
    pub counted: u64,
}

/// Spans of an operation of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationWork {
    /// Its number in records.
    pub number: u32,
    /// The join point's id.
    pub id: String,
    /// Kind of its spans, as in OTLP.
    pub kind: u8,
    /// Its spans are made by hand.
    pub api: bool,
    /// How many.
    pub spans: SpansDone,
}

/// Working space, kept so that a span allocates nothing.
#[derive(Debug, Default)]
struct Working {
    name: String,
    series_key: Vec<u8>,
    event: Vec<u8>,
    renamed: Vec<u8>,
}

impl Assembler {
    /// For the spans of one program.
    pub fn new(tables: Tables, resource: Arc<Resource>, tandem_version: &str) -> Self {
        Self {
            names: Names {
                keys: Keys {
                    tables,
                    known: KeyTable::default(),
                    wanted: Vec::new(),
                    chosen: Vec::new(),
                    wanted_names: Arc::default(),
                    chosen_names: Vec::new(),
                    of_arguments: HashMap::new(),
                },
                operations: Operations::default(),
                tandem_version: tandem_version.to_owned(),
            },
            service: Arc::from(resource.service()),
            builder: BatchBuilder::new(Arc::clone(&resource)),
            resource,
            series: HashMap::default(),
            faults: Faults::new(),
            limits: Limits::default(),
            folds: Folds::default(),
            held: Vec::new(),
            parts: !0,
            absent: (0, MonotonicNanos(0)),
            system_calls: None,
            source: Source::Woven,
            measures: true,
            requests: 0,
            working: Working::default(),
        }
    }

    /// Keeps other limits than the defaults.
    #[must_use]
    pub fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Folds what is noise.
    #[must_use]
    pub fn folding(mut self, settings: &Fold) -> Self {
        self.folds = Folds::new(settings);
        self
    }

    /// Says that its spans come from somewhere else than a woven program.
    #[must_use]
    pub fn from(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// Leaves it to others to measure its spans.
    #[must_use]
    pub fn unmeasured(mut self) -> Self {
        self.measures = false;
        self
    }

    /// Knows which parts of the anatomy the program tells from others.
    #[must_use]
    pub fn told(mut self, facts: &HeaderFacts) -> Self {
        self.parts = (0..PARTS.len()).filter(|&part| facts.tells(part)).fold(0, |mask, part| mask | 1 << part);
        self
    }

    /// Leaves out parts that this machine cannot measure, a bit each, by their index in `record::layout::PARTS`.
    pub fn leave_out(&mut self, parts: u32) {
        self.parts &= !parts;
    }

    /// Asks somebody for the system calls of spans that have ended.
    pub fn ask(&mut self, system_calls: Option<Box<dyn SpanSystemCalls>>) {
        self.system_calls = system_calls;
    }

    /// Takes one record. `None`: it makes no sense, and that has been counted.
    pub fn record(
        &mut self,
        bytes: &[u8],
        ending: Ending,
        clock: ClockOffset,
        measure: &mut Measure,
    ) -> Option<Assembled> {
        if let Ok(record) = SpanRecord::parse(bytes)
            && self.folds.must_wait(record.span_id())
            && self.held.len() < HELD_LIMIT
        {
            self.held.push((bytes.to_vec(), ending, 0));
            let unfinished = record.end().is_none();
            let root = record.parent_span_id() == [0; 8];
            return Some(Assembled { span_id: record.span_id(), root, unfinished, folded: false });
        }
        self.span(bytes, ending, clock, measure, None)
    }

    /// All rings have been read once more: what waited for that goes on.
    pub fn pass(&mut self, clock: ClockOffset, measure: &mut Measure) {
        self.folds.pass();
        self.held.iter_mut().for_each(|(.., passes)| *passes += 1);
        let held: Vec<_> = self.held.extract_if(.., |(.., passes)| *passes >= fold::PASSES).collect();
        self.go_on(held, false, clock, measure);
    }

    /// What waited goes on at once.
    pub fn hurry(&mut self, clock: ClockOffset, measure: &mut Measure) {
        let held = std::mem::take(&mut self.held);
        self.go_on(held, false, clock, measure);
    }

    /// The same, and what was folded below spans that were not seen to end: they will not.
    pub fn end_folding(&mut self, clock: ClockOffset, measure: &mut Measure) {
        let held = std::mem::take(&mut self.held);
        self.go_on(held, true, clock, measure);
    }

    fn go_on(&mut self, held: Vec<(Vec<u8>, Ending, u32)>, is_end: bool, clock: ClockOffset, measure: &mut Measure) {
        for (bytes, ending, _) in held {
            self.span(&bytes, ending, clock, measure, None);
        }
        for left in self.folds.left(is_end) {
            self.write_left(&left, clock, measure);
        }
    }

    /// A span for what was folded where the parent cannot say it.
    fn write_left(&mut self, left: &Left, clock: ClockOffset, measure: &mut Measure) {
        let folded = &left.folded;
        let id = FixedState::default().hash_one((left.parent, folded.operation, &folded.name, folded.span)).max(1);
        let record = RecordBuilder::span(left.trace_id, id.to_ne_bytes(), folded.operation)
            .parent(left.parent)
            .trace_flags(1)
            .times(folded.span.0, folded.span.1)
            .item(0, item::NAME, folded.name.as_bytes());
        self.span(&record.build(), Ending::Recorded, clock, measure, Some(folded));
    }

    /// A record becomes a span. `stands_for`: the span stands for others, which have been measured.
    fn span(
        &mut self,
        bytes: &[u8],
        ending: Ending,
        clock: ClockOffset,
        measure: &mut Measure,
        stands_for: Option<&Folded>,
    ) -> Option<Assembled> {
        let record = match SpanRecord::parse(bytes) {
            Ok(record) => record,
            Err(RecordError::Size) => return self.fault("record_size"),
            Err(RecordError::Kind) => return self.fault("record_kind"),
            Err(RecordError::Id) => return self.fault("record_id"),
        };
        let moved = self.folds.instead_of(record.parent_span_id()).map(|parent| {
            let mut moved = bytes.to_vec();
            moved[PARENT..PARENT + parent.len()].copy_from_slice(&parent);
            moved
        });
        let (bytes, record) = match &moved {
            Some(moved) => (moved.as_slice(), SpanRecord::parse(moved).ok()?), // as sound as it was
            None => (bytes, record),
        };
        let (end, unfinished) = match (record.end(), ending) {
            (Some(end), _) => (end, false),
            (None, Ending::Noticed(moment)) => (moment, true),
            (None, Ending::Recorded) => return self.fault("no_end"),
        };
        if !self.names.learn(record.descriptor(), &mut self.builder) {
            return self.fault("unknown_operation");
        }
        let Self {
            names: Names { keys, operations, .. },
            builder,
            resource,
            service,
            series,
            faults,
            limits,
            folds,
            parts,
            absent,
            system_calls,
            source,
            measures,
            requests,
            working,
            ..
        } = self;
        let operation = operations.get(record.descriptor())?; // just learnt
        let end = end.max(record.start());
        if keys.wanted_names.is_empty() {
            keys.want(&measure.graph);
        }
        let Working { name, series_key, event, renamed } = working;
        let record = operation.named(record, bytes, renamed)?;
        let below = folds.end(record.span_id());
        let mut folded = false;
        builder.add_if(operation.scope, |out| {
            let mut encoder = SpanEncoder::begin(out, event, &record, clock);
            let mut budget = limits.budget();
            let mut noted = Noted::gather(&record, end, operation, keys, faults, &mut budget, &mut encoder);
            let (absent, before) = *absent;
            noted.parts.keep(if record.start() < before { *parts & !absent } else { *parts });
            let calls = system_calls.as_ref().map_or(Vec::new(), |kept| kept.take(record.span_id()));
            for call in &calls {
                for (what, value) in [("count", i64::from(call.count)), ("duration", call.time.cast_signed())] {
                    let key = format!("tandem.syscall.{}.{what}", call.name);
                    let value = AnyValue::One(Value::Int(value));
                    encoder.item(&Item::AnyAttribute(Key::Text(key.as_bytes()), value), &keys.known);
                }
            }
            for below in below.iter().flatten().chain(stands_for) {
                for (what, value) in [("count", below.count), ("duration", below.time_ns)] {
                    let key = format!("{FOLDED_PREFIX}{}.{what}", below.name);
                    let value = AnyValue::One(Value::Int(value.try_into().unwrap_or(i64::MAX)));
                    encoder.item(&Item::AnyAttribute(Key::Text(key.as_bytes()), value), &keys.known);
                }
            }
            let monotonic_end = end;
            let start = noted.start.unwrap_or_else(|| clock.unix(record.start()));
            let end = noted.end.unwrap_or_else(|| clock.unix(end)).max(start);
            let wall = end.0 - start.0;
            let own_name = if operation.api { noted.name.unwrap_or_default() } else { &[] };
            let rendered = match operation.api {
                true => write_text(name, own_name),
                false => operation.template.render(name, |key| noted.value(key)),
            };
            let is_root = record.parent_span_id() == [0; 8];
            let is_outermost = is_root || record.has(RECORD_FLAG_REMOTE_PARENT);
            if stands_for.is_none() {
                operation.did(|spans| {
                    spans.recorded += 1;
                    spans.roots += u64::from(is_root);
                    spans.outermost += u64::from(is_outermost);
                });
            }
            if !unfinished && stands_for.is_none() {
                // One that has a parent in its program is a part of another, as gRPC served by net/http.
                *requests += u64::from(operation.request && is_outermost);
            }
            if !unfinished && *measures && stands_for.is_none() {
                let name = if rendered { name.as_str() } else { &operation.id };
                let kind = operation.kind;
                let index = find_series(series, series_key, &record, own_name, &noted, |series, series_key| {
                    let key = red_key(service, name, kind, record.status(), noted.dimensions(), &keys.known);
                    let attributes = named(noted.wanted.iter(), &keys.known);
                    let besides = Besides { attributes: &attributes, resource: Some(resource) };
                    remember(series, series_key, key, &besides, measure)
                });
                let exemplar =
                    Exemplar { trace_id: record.trace_id(), span_id: record.span_id(), time: end, duration_ns: wall };
                measure.span(index, exemplar);
                if is_root {
                    measure.root(index);
                }
                if measure.graph.is_shown_records() {
                    measure.ends(index, || Ends {
                        span: exemplar,
                        parent: record.parent_span_id(),
                        is_inside: !record.has(RECORD_FLAG_REMOTE_PARENT),
                        links: &noted.links,
                    });
                }
                measure.anatomy(index, &noted.parts);
                measure.kernel_counts(index, noted.retransmits, noted.page_faults, &calls);
            }
            let name = match noted.name {
                Some(given) => {
                    write_text(name, given);
                    name.as_str()
                }
                None if rendered => name.as_str(),
                None => &operation.id,
            };
            if folds.is_short(wall)
                && record.parent_span_id() != [0; 8]
                && !record.has(RECORD_FLAG_REMOTE_PARENT)
                && stands_for.is_none()
            {
                let is_call = operation.kind == CLIENT && noted.value(DATABASE).is_some();
                let is_trivial = below.is_none()
                    && (operation.kind == INTERNAL || is_call)
                    && record.status() != ERROR
                    && !noted.has_more
                    && !unfinished
                    && !record.has(RECORD_FLAG_CUT);
                folded = folds.add(&Short {
                    trace_id: record.trace_id(),
                    span_id: record.span_id(),
                    parent: record.parent_span_id(),
                    operation: record.descriptor(),
                    name,
                    span: (record.start().0, monotonic_end.0),
                    is_trivial,
                });
                if folded {
                    return false;
                }
            }
            let facts = SpanFacts {
                name,
                kind: operation.kind,
                start,
                end,
                source: if operation.api { Source::Api } else { *source },
                dropped: std::array::from_fn(|index| noted.dropped[index].saturating_add(budget.dropped[index])),
                unfinished,
                status_message: noted.status_message,
                tracestate: noted.tracestate,
                parts: &noted.parts,
            };
            encoder.finish(&record, &facts);
            true
        });
        Some(Assembled { span_id: record.span_id(), root: record.parent_span_id() == [0; 8], unfinished, folded })
    }

    /// Takes what spans without a record have left.
    pub fn counts(&mut self, delta: &SeriesDelta<'_>, measure: &mut Measure) {
        let series_key = &mut self.working.series_key;
        series_key.clear();
        series_key.extend(delta.descriptor.to_le_bytes());
        let status = if delta.status <= 2 { delta.status } else { 0 };
        series_key.push(status);
        let mut labels = Vec::new();
        let mut own_name: &[u8] = &[];
        for item in Items::new(delta.labels) {
            match item {
                Item::Attribute(key, value) if key < FIRST_NON_METRIC_KEY => {
                    append(series_key, key, &value);
                    labels.push((key, value));
                }
                Item::Name(name) => own_name = name,
                _ => {}
            }
        }
        append(series_key, 0, &Value::String(own_name));
        let index = match self.series.get(series_key.as_slice()) {
            Some(index) => *index,
            None => {
                self.names.learn(delta.descriptor, &mut self.builder);
                let keys = &self.names.keys.known;
                let key = match self.names.operations.get(delta.descriptor) {
                    Some(operation) => {
                        let value =
                            |wanted| labels.iter().rev().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
                        let rendered = match operation.api {
                            true => write_text(&mut self.working.name, own_name),
                            false => operation.template.render(&mut self.working.name, value),
                        };
                        let name = if rendered { &self.working.name } else { &operation.id };
                        red_key(&self.service, name, operation.kind, status, labels.iter(), keys)
                    }
                    // Series 0: what found no place in the program's table.
                    _ => measure::overflow(&red_key(&self.service, "", 0, 0, [].iter(), keys)),
                };
                let besides = Besides { resource: Some(&self.resource), ..Besides::default() };
                remember(&mut self.series, series_key, key, &besides, measure)
            }
        };
        let operation = self.names.operations.get(delta.descriptor);
        if let Some(operation) = operation {
            let more = delta.buckets.iter().fold(0u64, |sum, &more| sum.saturating_add(more));
            operation.did(|spans| spans.counted = spans.counted.saturating_add(more));
        }
        if operation.is_some_and(|operation| operation.request) {
            self.requests = delta.buckets.iter().fold(self.requests, |sum, &more| sum.saturating_add(more));
        }
        measure.counts(index, &delta.buckets, delta.sum);
    }

    /// Bytes of the spans that wait to become a batch.
    pub fn waiting(&self) -> usize {
        self.builder.size()
    }

    /// The spans assembled so far.
    pub fn take(&mut self) -> Option<Batch> {
        self.builder.take()
    }

    /// Requests that the program has answered since the last call.
    pub(crate) fn take_requests(&mut self) -> u64 {
        std::mem::take(&mut self.requests)
    }

    /// What operations have done since the last call.
    pub(crate) fn take_work(&mut self) -> Vec<OperationWork> {
        let registered = self.names.operations.registered.iter().enumerate();
        let registered = registered.filter_map(|(number, operation)| Some((number as u32, operation.as_ref()?)));
        let functions = self.names.operations.functions.iter().map(|(number, operation)| (*number, operation));
        let done = registered.chain(functions).filter_map(|(number, operation)| {
            let spans = operation.work.take();
            (spans != SpansDone::default()).then(|| OperationWork {
                number,
                id: operation.id.clone(),
                kind: operation.kind,
                api: operation.api,
                spans,
            })
        });
        done.collect()
    }

    /// Leaves parts out of spans that began before a moment, a bit each, by their index in `record::layout::PARTS`.
    pub(crate) fn leave_out_before(&mut self, parts: u32, moment: MonotonicNanos) {
        self.absent = (parts, moment);
    }

    /// What was wrong since the last call.
    pub fn take_faults(&mut self) -> Faults {
        std::mem::take(&mut self.faults)
    }

    fn fault<T>(&mut self, cause: &'static str) -> Option<T> {
        *self.faults.entry(cause).or_default() += 1;
        None
    }
}

/// Makes `name` that text; `false` when there is none.
fn write_text(name: &mut String, text: &[u8]) -> bool {
    name.clear();
    name.push_str(&String::from_utf8_lossy(text));
    !text.is_empty()
}
