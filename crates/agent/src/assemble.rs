//! Records become spans: name from the operation's template, wall-clock times, anatomy, metric dimensions.
//!
//! One assembler a program. It believes nothing: a record that makes no sense is counted by cause and left out, an
//! attribute whose key nobody registered is counted and left out.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use deliver::Batch;
use deliver::metrics::{Exemplar, RedKey};
use deliver::otlp::builder::{BatchBuilder, ScopeIndex};
use deliver::otlp::encode::{ClockOffset, KeyTable, Parts, SpanEncoder, SpanFacts, UnixNanos};
use foldhash::fast::{FixedState, RandomState};
use model::{FOLDED_PREFIX, Resource, Source};
use record::layout::kind::{CLIENT, INTERNAL, PRODUCER};
use record::layout::status::ERROR;
use record::layout::{
    self, FIRST_ARGUMENT_KEY, FIRST_DYNAMIC_KEY, FIRST_FUNCTION, FIRST_NON_METRIC_KEY, KEYS, PARTS, RECORD,
    RECORD_FLAG_CUT, RECORD_FLAG_GO_PARTS, RECORD_FLAG_KERNEL_PARTS, RECORD_FLAG_REMOTE_PARENT, item,
};

use record::{
    AnyValue, HeaderFacts, Item, Items, Key, MonotonicNanos, RecordBuilder, RecordError, SeriesDelta, SpanRecord,
    Tables, Value,
};
use std::hash::BuildHasher;

use crate::completeness;
use crate::fold::{self, Fold, Folded, Folds, Left, Short};
use crate::graph::{Ends, Graph};
use crate::kernel::SpanSystemCalls;
use crate::limits::{Budget, Limits};
use crate::measure::{self, Besides, Measure, SeriesIndex};
use crate::template::Template;

/// Attributes of one span that its name and its metrics can depend on; more than there are such keys.
const NOTED_LIMIT: usize = 24;
/// Attributes of one span that the service graph tells spans apart by, and spans that it is linked to.
const WANTED_LIMIT: usize = 8;
const LINKS_LIMIT: usize = 16;
/// Spans that wait for their children at once.
const HELD_LIMIT: usize = 1024;
/// Different sets of dimensions that one program may have.
const DIMENSIONS_LIMIT: usize = 4096;

/// Different names of arguments that one program may have, and functions that are looked for in vain.
const ARGUMENT_NAMES_LIMIT: usize = 8192;
const UNKNOWN_FUNCTIONS_LIMIT: u32 = 4096;
/// Before the name of an argument in its attribute's key.
const ARGUMENT_PREFIX: &str = "tandem.argument.";

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

/// Names behind numbers, as far as they have come up.
#[derive(Debug)]
struct Names {
    keys: Keys,
    operations: Operations,
    tandem_version: String,
}

#[derive(Debug)]
struct Keys {
    tables: Tables,
    known: KeyTable,
    /// Keys whose values the service graph wants, beside the dimensions.
    wanted: Vec<u16>,
    /// Of them, those that it wants of servers, too.
    chosen: Vec<u16>,
    wanted_names: Arc<[String]>,
    chosen_names: Vec<String>,
    /// Keys that we gave to arguments, from the program's own last one on.
    of_arguments: HashMap<String, u16>,
}

/// Operations by their numbers.
#[derive(Debug, Default)]
struct Operations {
    registered: Vec<Option<Operation>>,
    /// Functions that were woven dormant: their numbers are large, and few of them come up.
    functions: HashMap<u32, Operation>,
    unknown_functions: u32,
}

#[derive(Debug)]
struct Operation {
    kind: u8,
    id: String,
    scope: ScopeIndex,
    template: Template,
    /// Its spans are made by hand: each has its own name.
    api: bool,
    /// Its spans are requests that the program answers.
    request: bool,
    /// Keys of a function's arguments, by position.
    argument_keys: Vec<u16>,
    /// Its spans since somebody last asked.
    work: Cell<SpansDone>,
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
        let moved = SpanRecord::parse(bytes).ok().and_then(|record| self.folds.instead_of(record.parent_span_id()));
        let moved = moved.map(|parent| {
            let mut moved = bytes.to_vec();
            moved[PARENT..PARENT + parent.len()].copy_from_slice(&parent);
            moved
        });
        let bytes = moved.as_deref().unwrap_or(bytes);
        let record = match SpanRecord::parse(bytes) {
            Ok(record) => record,
            Err(RecordError::Size) => return self.fault("record_size"),
            Err(RecordError::Kind) => return self.fault("record_kind"),
            Err(RecordError::Id) => return self.fault("record_id"),
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
            let is_outermost = record.parent_span_id() == [0; 8] || record.has(RECORD_FLAG_REMOTE_PARENT);
            if stands_for.is_none() {
                operation.did(|spans| {
                    spans.recorded += 1;
                    spans.roots += u64::from(record.parent_span_id() == [0; 8]);
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
                    let attributes = named(noted.wanted().iter(), &keys.known);
                    let besides = Besides { attributes: &attributes, resource: Some(resource) };
                    remember(series, series_key, key, &besides, measure)
                });
                let exemplar =
                    Exemplar { trace_id: record.trace_id(), span_id: record.span_id(), time: end, duration_ns: wall };
                measure.span(index, exemplar);
                if measure.graph.is_shown_records() {
                    measure.ends(index, || Ends {
                        span: exemplar,
                        parent: record.parent_span_id(),
                        is_inside: !record.has(RECORD_FLAG_REMOTE_PARENT),
                        links: &noted.links[..noted.link_count],
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

impl Names {
    /// Makes sure that an operation is known; `false` when there is none of this number.
    #[inline]
    fn learn(&mut self, id: u32, builder: &mut BatchBuilder) -> bool {
        self.operations.get(id).is_some() || self.look_up(id, builder).is_some()
    }

    #[cold]
    fn look_up(&mut self, id: u32, builder: &mut BatchBuilder) -> Option<()> {
        if id >= FIRST_FUNCTION && self.operations.unknown_functions >= UNKNOWN_FUNCTIONS_LIMIT {
            return None; // looking for one costs something
        }
        let Some(descriptor) = self.keys.tables.descriptor(id) else {
            self.operations.unknown_functions += u32::from(id >= FIRST_FUNCTION);
            return None;
        };
        let (version, schema_url) = descriptor.made_by(&self.tandem_version);
        let template = if descriptor.api { "" } else { &descriptor.name };
        let operation = Operation {
            kind: if (1..=5).contains(&descriptor.kind) { descriptor.kind } else { 1 },
            scope: builder.scope(&descriptor.scope, version, schema_url),
            template: Template::parse(template, |name| self.keys.number(name)),
            api: descriptor.api,
            request: !descriptor.api && completeness::is_request(&descriptor.id),
            argument_keys: descriptor.arguments.iter().map(|name| self.keys.of_argument(name)).collect(),
            work: Cell::default(),
            id: descriptor.id,
        };
        self.operations.add(id, operation);
        Some(())
    }
}

impl Operations {
    #[inline]
    fn get(&self, id: u32) -> Option<&Operation> {
        if id < FIRST_FUNCTION { self.registered.get(id as usize)?.as_ref() } else { self.functions.get(&id) }
    }

    fn add(&mut self, id: u32, operation: Operation) {
        if id >= FIRST_FUNCTION {
            self.functions.insert(id, operation);
            return;
        }
        let index = id as usize; // below the table's capacity, or the descriptor would not have been found
        if index >= self.registered.len() {
            self.registered.resize_with(index + 1, || None);
        }
        self.registered[index] = Some(operation);
    }
}

impl Operation {
    #[inline]
    fn did(&self, more: impl FnOnce(&mut SpansDone)) {
        let mut spans = self.work.get();
        more(&mut spans);
        self.work.set(spans);
    }

    /// The record with the names of its arguments, where it can have any.
    fn named<'a>(&self, record: SpanRecord<'a>, bytes: &[u8], renamed: &'a mut Vec<u8>) -> Option<SpanRecord<'a>> {
        if self.argument_keys.is_empty() {
            return Some(record);
        }
        renamed.clear();
        renamed.extend_from_slice(bytes);
        record::rename_attributes(renamed, |key| match key.checked_sub(FIRST_ARGUMENT_KEY) {
            Some(position) => self.argument_keys.get(usize::from(position)).copied().unwrap_or(key),
            None => key,
        });
        SpanRecord::parse(renamed).ok() // as it did before
    }
}

impl Keys {
    /// A key for arguments of this name; 0, which no attribute has, when there are too many names.
    fn of_argument(&mut self, name: &str) -> u16 {
        if let Some(key) = self.of_arguments.get(name) {
            return *key;
        }
        let key = self.tables.key_limit().saturating_add(self.of_arguments.len() as u32);
        if self.of_arguments.len() >= ARGUMENT_NAMES_LIMIT || key >= FIRST_ARGUMENT_KEY.into() {
            return 0;
        }
        let key = key as u16; // below the first argument's
        self.known.insert(key, &format!("{ARGUMENT_PREFIX}{name}"));
        self.of_arguments.insert(name.to_owned(), key);
        key
    }

    fn number(&self, name: &str) -> Option<u16> {
        if let Some(key) = KEYS.iter().find(|key| key.name == name) {
            return Some(key.id);
        }
        let dynamic = FIRST_DYNAMIC_KEY..u16::try_from(self.tables.key_limit()).unwrap_or(u16::MAX);
        dynamic.map_while(|id| Some((id, self.tables.key(id)?))).find(|(_, key)| key == name).map(|(id, _)| id)
    }

    /// Makes sure that a key has a name.
    #[inline]
    fn learn(&mut self, id: u16) -> bool {
        self.known.knows(id) || self.look_up(id).is_some()
    }

    #[cold]
    fn look_up(&mut self, id: u16) -> Option<()> {
        let name = self.tables.key(id)?;
        self.known.insert(id, &name);
        if self.wanted_names.contains(&name) {
            self.wanted.push(id);
            self.chosen.extend(self.chosen_names.contains(&name).then_some(id));
        }
        Some(())
    }

    /// Whether the service graph wants an attribute of spans of this kind.
    #[inline]
    fn is_wanted(&self, key: u16, kind: u8) -> bool {
        match kind {
            INTERNAL => false,
            CLIENT | PRODUCER => self.wanted.contains(&key),
            _ => self.chosen.contains(&key),
        }
    }

    /// Looks out for attributes that the service graph wants.
    #[cold]
    fn want(&mut self, graph: &Graph) {
        let names = graph.wanted();
        let are_no_dimensions = KEYS.iter().filter(|key| key.id >= FIRST_NON_METRIC_KEY);
        for key in are_no_dimensions.filter(|key| names.iter().any(|name| name == key.name)) {
            self.wanted.push(key.id);
            self.chosen.extend(graph.is_chosen(key.name).then_some(key.id));
        }
        self.chosen_names = names.iter().filter(|name| graph.is_chosen(name)).cloned().collect();
        self.wanted_names = names;
    }
}

/// What the items of a record say about the span as a whole.
struct Noted<'a> {
    values: [(u16, Value<'a>); NOTED_LIMIT],
    count: usize,
    wanted: [(u16, Value<'a>); WANTED_LIMIT],
    wanted_count: usize,
    links: [([u8; 16], [u8; 8]); LINKS_LIMIT],
    link_count: usize,
    /// It has events or links.
    has_more: bool,
    name: Option<&'a [u8]>,
    status_message: &'a [u8],
    tracestate: &'a [u8],
    parts: Parts,
    retransmits: u64,
    page_faults: u64,
    /// As the program gave them.
    start: Option<UnixNanos>,
    end: Option<UnixNanos>,
    dropped: [u32; 3],
}

impl<'a> Noted<'a> {
    /// Goes through the items, and hands them on to be encoded.
    fn gather(
        record: &SpanRecord<'a>,
        end: MonotonicNanos,
        operation: &Operation,
        keys: &mut Keys,
        faults: &mut Faults,
        budget: &mut Budget,
        encoder: &mut SpanEncoder<'_>,
    ) -> Self {
        let mut noted = Self {
            values: [(0, Value::Bool(false)); NOTED_LIMIT],
            count: 0,
            wanted: [(0, Value::Bool(false)); WANTED_LIMIT],
            wanted_count: 0,
            links: [([0; 16], [0; 8]); LINKS_LIMIT],
            link_count: 0,
            has_more: false,
            name: None,
            status_message: &[],
            tracestate: &[],
            parts: measured_parts(record.flags()),
            retransmits: 0,
            page_faults: 0,
            start: None,
            end: None,
            dropped: [0; 3],
        };
        let template = &operation.template;
        let wall = end.0 - record.start().0;
        let mut fault = |cause| *faults.entry(cause).or_default() += 1;
        let mut is_inside = false; // of an event or a link
        let mut items = record.items();
        loop {
            if let Some((key, value)) = items.next_attribute() {
                if !keys.learn(key) {
                    fault("unknown_key");
                } else if !is_inside && (key < FIRST_NON_METRIC_KEY || template.uses(key)) {
                    noted.note(key, value);
                } else if let (RETRANSMITS | PAGE_FAULTS, Value::Int(count), false) = (key, value, is_inside) {
                    let place = if key == RETRANSMITS { &mut noted.retransmits } else { &mut noted.page_faults };
                    *place = count.max(0).cast_unsigned();
                }
                if !is_inside && keys.is_wanted(key, operation.kind) && noted.wanted_count < WANTED_LIMIT {
                    noted.wanted[noted.wanted_count] = (key, value);
                    noted.wanted_count += 1;
                }
                if let Some(value) = budget.admit_attribute(value) {
                    encoder.attribute(key, value, &keys.known);
                }
                continue;
            }
            let Some(item) = items.next() else { break };
            match item {
                Item::Attribute(..) => {} // has been taken
                Item::Name(name) => noted.name = Some(name),
                Item::StatusMessage(message) => noted.status_message = message,
                Item::Tracestate(tracestate) => noted.tracestate = tracestate,
                Item::Part(part, nanoseconds) => noted.parts.set(part, nanoseconds.min(wall)),
                Item::Event(key, _) => {
                    noted.has_more = true;
                    keys.learn(key);
                    is_inside = true;
                }
                Item::NamedEvent(..) => (is_inside, noted.has_more) = (true, true),
                Item::OpenLink { trace_id, span_id, .. } => {
                    noted.link(trace_id, span_id);
                    is_inside = true;
                }
                Item::EventEnd => is_inside = false,
                Item::Link(trace_id, span_id) => noted.link(trace_id, span_id),
                Item::AnyAttribute(Key::Number(key), _) if !keys.learn(key) => fault("unknown_key"),
                Item::AnyAttribute(..) => {}
                Item::Start(time) => noted.start = Some(UnixNanos(time)),
                Item::End(time) => noted.end = Some(UnixNanos(time)),
                Item::Dropped { attributes, events, links } => noted.dropped = [attributes, events, links],
            }
            if let Some(item) = budget.admit(item) {
                if matches!(item, Item::EventEnd) {
                    encoder.dropped_inside(budget.inner_dropped);
                }
                encoder.item(&item, &keys.known);
            }
        }
        if items.malformed() {
            fault("malformed_items");
        }
        // The rest of wall time was spent computing, but only when everything else was measured.
        if record.has(RECORD_FLAG_GO_PARTS) && record.has(RECORD_FLAG_KERNEL_PARTS) {
            // The kernel's finding about a wait that Go has measured.
            let unread = noted.parts.get(UNREAD).unwrap_or(0);
            let network = noted.parts.get(GO_NETWORK).unwrap_or(0);
            if unread > network {
                noted.parts.set(UNREAD, network);
            }
            noted.parts.set(GO_NETWORK, network.saturating_sub(unread));
            noted.parts.set(ON_CPU, 0);
            let waited = noted.parts.sum();
            noted.parts.set(ON_CPU, wall.saturating_sub(waited));
            if (1..=CLOCKS_APART).contains(&waited.saturating_sub(wall)) {
                noted.parts.shorten_longest(waited - wall);
            }
        }
        noted
    }

    #[inline]
    fn note(&mut self, key: u16, value: Value<'a>) {
        // Of a key that is given twice the last value counts.
        let known = self.values[..self.count].iter_mut().find(|(known, _)| *known == key);
        if let Some(known) = known {
            known.1 = value;
        } else if self.count < NOTED_LIMIT {
            self.values[self.count] = (key, value);
            self.count += 1;
        }
    }

    #[inline]
    fn value(&self, wanted: u16) -> Option<Value<'a>> {
        self.values[..self.count].iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value)
    }

    /// What the service graph wants beside the dimensions.
    fn wanted(&self) -> &[(u16, Value<'a>)] {
        &self.wanted[..self.wanted_count]
    }

    fn link(&mut self, trace_id: [u8; 16], span_id: [u8; 8]) {
        self.has_more = true;
        if let Some(place) = self.links.get_mut(self.link_count) {
            *place = (trace_id, span_id);
            self.link_count += 1;
        }
    }

    fn dimensions(&self) -> impl Iterator<Item = &(u16, Value<'a>)> {
        self.values[..self.count].iter().filter(|(key, _)| *key < FIRST_NON_METRIC_KEY)
    }
}

/// Where a record has its parent.
const PARENT: usize = RECORD.at("parent_span_id");
const DATABASE: u16 = layout::key("db.system.name");

const RETRANSMITS: u16 = layout::key("tandem.tcp.retransmits");
const PAGE_FAULTS: u16 = layout::key("tandem.page_faults");

const ON_CPU: usize = 0;
const GO_NETWORK: usize = layout::part("go_network");
const UNREAD: usize = layout::part("network_unread");

/// Go's waits are timed by the processor's counter, the span by the clock: a span that only waited may have waited longer
/// than it took, by no more than this (ns).
const CLOCKS_APART: u64 = 2_000;

/// The parts of Go's half and of the kernel's half, a bit each.
const GO_PARTS: u32 = parts_of(true);
const KERNEL_PARTS: u32 = parts_of(false);

const fn parts_of(go: bool) -> u32 {
    let (mut mask, mut index) = (0, ON_CPU + 1);
    while index < PARTS.len() {
        let name = PARTS[index].as_bytes();
        if (name[0] == b'g' && name[1] == b'o' && name[2] == b'_') == go {
            mask |= 1 << index;
        }
        index += 1;
    }
    mask
}

/// Parts of the halves that were measured, as 0 until an item says more.
fn measured_parts(flags: u8) -> Parts {
    let go = if flags & RECORD_FLAG_GO_PARTS != 0 { GO_PARTS } else { 0 };
    let kernel = if flags & RECORD_FLAG_KERNEL_PARTS != 0 { KERNEL_PARTS } else { 0 };
    Parts::zeros(go | kernel)
}

/// The series that a span belongs to: of its operation, status and dimensions.
#[inline]
fn find_series(
    series: &mut HashMap<Vec<u8>, SeriesIndex, RandomState>,
    series_key: &mut Vec<u8>,
    record: &SpanRecord<'_>,
    own_name: &[u8],
    noted: &Noted<'_>,
    make: impl FnOnce(&mut HashMap<Vec<u8>, SeriesIndex, RandomState>, &[u8]) -> SeriesIndex,
) -> SeriesIndex {
    series_key.clear();
    series_key.extend_from_slice(&record.descriptor().to_le_bytes());
    series_key.push(record.status());
    noted.dimensions().for_each(|(key, value)| append(series_key, *key, value));
    append(series_key, 0, &Value::String(own_name));
    // While there is room: these have any number of values.
    if !noted.wanted().is_empty() && series.len() < DIMENSIONS_LIMIT / 2 {
        noted.wanted().iter().for_each(|(key, value)| append(series_key, *key, value));
    }
    match series.get(series_key.as_slice()) {
        Some(index) => *index,
        None => make(series, series_key),
    }
}

/// Makes `name` that text; `false` when there is none.
fn write_text(name: &mut String, text: &[u8]) -> bool {
    name.clear();
    name.push_str(&String::from_utf8_lossy(text));
    !text.is_empty()
}

/// Appends a dimension to a series' local key.
#[inline]
fn append(series_key: &mut Vec<u8>, key: u16, value: &Value<'_>) {
    series_key.extend(key.to_le_bytes());
    match value {
        Value::String(bytes) => {
            series_key.extend((bytes.len() as u16 | 0x8000).to_le_bytes()); // at most 4095
            series_key.extend_from_slice(bytes);
        }
        Value::Int(number) => {
            series_key.push(1);
            series_key.extend(number.to_le_bytes());
        }
        Value::Float(number) => {
            series_key.push(2);
            series_key.extend(number.to_bits().to_le_bytes());
        }
        Value::Bool(flag) => series_key.extend([3, u8::from(*flag)]),
    }
}

/// Attributes by their names.
fn named<'a>(values: impl Iterator<Item = &'a (u16, Value<'a>)>, keys: &KeyTable) -> Vec<(String, model::Value)> {
    values
        .filter_map(|(key, value)| {
            let value = match *value {
                Value::String(bytes) => model::Value::String(String::from_utf8_lossy(bytes).into_owned()),
                Value::Int(number) => model::Value::Int(number),
                Value::Float(number) => model::Value::Float(number),
                Value::Bool(flag) => model::Value::Bool(flag),
            };
            Some((keys.name(*key)?.to_owned(), value))
        })
        .collect()
}

fn red_key<'a>(
    service: &Arc<str>,
    name: &str,
    kind: u8,
    status: u8,
    dimensions: impl Iterator<Item = &'a (u16, Value<'a>)>,
    keys: &KeyTable,
) -> RedKey {
    let dimensions: BTreeMap<String, model::Value> = named(dimensions, keys).into_iter().collect();
    let mut key = RedKey {
        service: Arc::clone(service),
        span_name: name.to_owned(),
        kind,
        status,
        dimensions: dimensions.into_iter().collect(),
        metric: "",
        overflow: false,
    };
    key.metric = measure::metric_of(&key);
    key
}

fn remember(
    series: &mut HashMap<Vec<u8>, SeriesIndex, RandomState>,
    series_key: &[u8],
    key: RedKey,
    besides: &Besides<'_>,
    measure: &mut Measure,
) -> SeriesIndex {
    if series.len() >= DIMENSIONS_LIMIT {
        return measure.overflow(&key, besides);
    }
    let index = measure.series(key, besides);
    series.insert(series_key.to_vec(), index);
    index
}
