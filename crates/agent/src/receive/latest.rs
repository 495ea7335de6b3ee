//! The newest numbers of metrics that were received, for who asks by Prometheus and for the store.
//!
//! Kept are gauges, sums and histograms as Prometheus has them: deltas are added up, exponential histograms are put into buckets that
//! stay where they are ([`exponential`](super::exponential)). A series that nobody has sent for a while is forgotten, and there are only so many.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deliver::metrics::{Metric, Origin, OwnKind, OwnMetric, Point};
use deliver::otlp::encode::UnixNanos;
use deliver::otlp::walk::{self, Attribute, Field, Fields, Malformed, RESOURCE_ATTRIBUTES, ScopeGroup};
use deliver::{Batch, Refused, Signal, Sink, SinkReport};
use foldhash::fast::RandomState;
use model::{Resource, Value};
use record::{InstrumentKind, InstrumentValue};

use super::exponential::Exponential;
use super::known;

/// Series at once.
const SERIES: usize = 10_000;
/// Longer names, attributes and lists of buckets (bytes, with the keys) are not shown.
const SERIES_BYTES: usize = 4096;
/// So long a series is shown that is not sent any more: as long as Prometheus itself would.
const SHOWN: Duration = Duration::from_secs(300);

const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;
/// A data point without a value: the series has ended.
const NO_VALUE: u64 = 1;

/// A sink of metrics that remembers the newest number of each series.
#[derive(Default)]
pub(crate) struct Latest(Mutex<Table>);

impl Latest {
    /// All series, one a metric: who shows them puts those of one name together.
    pub fn shown(&self, now: Instant) -> Vec<Metric> {
        self.table().metrics(now)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Latest {
    fn name(&self) -> &'static str {
        "latest"
    }

    fn signal(&self) -> Signal {
        Signal::Metrics
    }

    fn is_local(&self) -> bool {
        true
    }

    fn offer(&self, batch: &Arc<Batch>) -> Result<(), Refused> {
        let mut table = self.table();
        table.taken += u64::from(batch.records);
        let hidden = table.take(&batch.bytes, Instant::now());
        table.hidden += hidden.unwrap_or(0); // it was sound when it came
        Ok(())
    }

    fn flush(&self, _deadline: Instant) {}

    fn report(&self) -> SinkReport {
        SinkReport { signal: Signal::Metrics, delivered: self.table().taken, ..SinkReport::default() }
    }

    fn metrics(&self) -> Vec<OwnMetric> {
        vec![OwnMetric {
            name: "tandem_received_metrics_not_shown_total",
            help: "Data points that were received and are not shown here, being of a form that Prometheus has not, or too many.",
            kind: OwnKind::Counter,
            label: None,
            points: vec![(String::new(), self.table().hidden)],
        }]
    }
}

/// Series by all that tells them apart.
#[derive(Default)]
struct Table {
    taken: u64,
    hidden: u64,
    series: HashMap<Box<[u8]>, Series, RandomState>,
}

struct Series {
    sender: Arc<Resource>,
    scope: String,
    scope_version: String,
    name: String,
    unit: String,
    description: String,
    kind: InstrumentKind,
    attributes: Vec<(String, Value)>,
    start: u64,
    time: u64,
    value: InstrumentValue,
    seen: Instant,
}

impl Series {
    /// Adds a delta. One with other bounds begins anew.
    fn add(&mut self, point: &Read<'_>, value: InstrumentValue) {
        self.time = point.time;
        match (&mut self.value, value) {
            (InstrumentValue::Int(total), InstrumentValue::Int(more)) => *total = total.saturating_add(more),
            (InstrumentValue::Float(total), InstrumentValue::Float(more)) => *total += more,
            (
                InstrumentValue::Histogram { bounds, counts, sum },
                InstrumentValue::Histogram { bounds: same, counts: more, sum: added },
            ) if *bounds == same => {
                counts.iter_mut().zip(more).for_each(|(total, more)| *total = total.saturating_add(more));
                *sum += added;
            }
            (total, value) => (*total, self.start) = (value, point.start),
        }
    }
}

/// What is read of a metric before its points.
#[derive(Clone, Copy)]
struct Head<'a> {
    name: &'a [u8],
    description: &'a [u8],
    unit: &'a [u8],
    kind: InstrumentKind,
    /// A point is what was added since the last one.
    is_delta: bool,
}

/// What is read of a point.
#[derive(Default)]
struct Read<'a> {
    attributes: Vec<&'a [u8]>,
    start: u64,
    time: u64,
    value: Option<Told>,
    has_ended: bool,
}

/// A value as it was sent.
enum Told {
    Value(InstrumentValue),
    Exponential(Exponential),
}

impl Table {
    /// Takes a request of metrics. How many points are not shown.
    fn take(&mut self, request: &[u8], now: Instant) -> Result<u64, Malformed> {
        let mut hidden = 0;
        for group in walk::resources(request) {
            let group = group?;
            let sender = Arc::new(identity(group.resource)?);
            for scope in group.scopes() {
                let scope = scope?;
                for metric in scope.records() {
                    hidden += self.metric(&sender, &scope, metric?, now)?;
                }
            }
        }
        Ok(hidden)
    }

    fn metric(
        &mut self,
        sender: &Arc<Resource>,
        scope: &ScopeGroup<'_>,
        metric: &[u8],
        now: Instant,
    ) -> Result<u64, Malformed> {
        let mut head = Head { name: &[], description: &[], unit: &[], kind: InstrumentKind::Gauge, is_delta: false };
        let mut data = None;
        for field in Fields::of(metric) {
            match field? {
                (1, Field::Bytes(name)) => head.name = name,
                (2, Field::Bytes(description)) => head.description = description,
                (3, Field::Bytes(unit)) => head.unit = unit,
                (number @ (5 | 7 | 9 | 10 | 11), Field::Bytes(bytes)) => data = Some((number, bytes)),
                _ => {}
            }
        }
        let Some((number, data)) = data else { return Ok(0) };
        let (mut points, mut temporality, mut only_rises) = (Vec::new(), 0, false);
        for field in Fields::of(data) {
            match field? {
                (1, Field::Bytes(point)) => points.push(point),
                (2, Field::Varint(number)) => temporality = number,
                (3, Field::Varint(flag)) => only_rises = flag != 0,
                _ => {}
            }
        }
        head.is_delta = temporality == DELTA;
        head.kind = match (number, temporality) {
            (5, _) => InstrumentKind::Gauge,
            (7, DELTA | CUMULATIVE) if only_rises => InstrumentKind::Counter,
            (7, CUMULATIVE) => InstrumentKind::UpDown, // of deltas nobody knows what it was
            (9 | 10, DELTA | CUMULATIVE) => InstrumentKind::Histogram,
            _ => return Ok(points.len() as u64),
        };
        let mut hidden = 0;
        for point in points {
            let point = match number {
                9 => histogram(point)?,
                10 => exponential(point)?,
                _ => self::number(point)?,
            };
            hidden += u64::from(!self.point(sender, scope, head, &point, now)?);
        }
        Ok(hidden)
    }

    /// Whether it will be shown.
    fn point(
        &mut self,
        sender: &Arc<Resource>,
        scope: &ScopeGroup<'_>,
        head: Head<'_>,
        point: &Read<'_>,
        now: Instant,
    ) -> Result<bool, Malformed> {
        let (scope, version) = (walk::bytes_field(scope.scope, 1)?, walk::bytes_field(scope.scope, 2)?);
        let mut attributes = BTreeMap::new();
        for key_value in &point.attributes {
            if let Some(Attribute { key, value }) = Attribute::read(key_value)?
                && let Some(value) = known::value(walk::AnyValue::read(value)?, 0)?
            {
                attributes.insert(walk::text(key).into_owned(), value);
            }
        }
        let of_sender = sender.attributes.iter().map(|(key, value)| format!("{key}={value}"));
        let of_point = attributes.iter().map(|(key, value)| format!("{key}={value}"));
        let texts = [scope, version, head.name, &[head.kind as u8]].map(|bytes| walk::text(bytes).into_owned());
        let mut key = Vec::new();
        for text in of_sender.chain(texts).chain(of_point) {
            key.extend_from_slice(&(text.len() as u32).to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        }
        if point.has_ended {
            self.series.remove(key.as_slice());
            return Ok(true);
        }
        let known = self.series.get_mut(key.as_slice());
        let value = match &point.value {
            Some(Told::Value(value)) => value.clone(),
            Some(Told::Exponential(counted)) => counted.within(known.as_ref().map(|series| &series.value)),
            None => return Ok(false),
        };
        if let Some(series) = known {
            series.seen = now;
            if !head.is_delta {
                (series.start, series.time, series.value) = (point.start, point.time, value);
            } else if point.time > series.time {
                series.add(point, value);
            } // else it was sent again
            return Ok(true);
        }
        let buckets = if let InstrumentValue::Histogram { counts, .. } = &value { 16 * counts.len() } else { 0 };
        if self.series.len() >= SERIES {
            self.forget(now);
        }
        let size = key.len() + buckets + head.description.len() + head.unit.len();
        if self.series.len() >= SERIES || size > SERIES_BYTES {
            return Ok(false);
        }
        let text = |bytes: &[u8]| walk::text(bytes).into_owned();
        let series = Series {
            sender: Arc::clone(sender),
            scope: text(scope),
            scope_version: text(version),
            name: text(head.name),
            unit: text(head.unit),
            description: text(head.description),
            kind: head.kind,
            attributes: attributes.into_iter().collect(),
            start: point.start,
            time: point.time,
            value,
            seen: now,
        };
        self.series.insert(key.into(), series);
        Ok(true)
    }

    fn forget(&mut self, now: Instant) {
        self.series.retain(|_, series| now.duration_since(series.seen) < SHOWN);
    }

    fn metrics(&mut self, now: Instant) -> Vec<Metric> {
        self.forget(now);
        let mut all: Vec<(&[u8], &Series)> = self.series.iter().map(|(key, series)| (&**key, series)).collect();
        all.sort_by_key(|(key, _)| *key);
        let metrics = all.into_iter().map(|(_, series)| Metric {
            origin: Origin::Process(Arc::clone(&series.sender)),
            scope: series.scope.clone(),
            scope_version: series.scope_version.clone(),
            schema_url: String::new(),
            name: series.name.clone(),
            unit: series.unit.clone(),
            description: series.description.clone(),
            kind: series.kind,
            observed: true,
            points: vec![Point {
                attributes: series.attributes.clone(),
                start: UnixNanos(series.start),
                time: UnixNanos(series.time),
                value: series.value.clone(),
                exemplars: Vec::new(),
            }],
        });
        metrics.collect()
    }
}

/// What tells senders apart: the service, and its instance or process.
fn identity(resource: &[u8]) -> Result<Resource, Malformed> {
    let mut attributes = BTreeMap::new();
    for key in ["service.name", "service.instance.id", "process.pid"] {
        if let Some(value) = walk::attribute(resource, RESOURCE_ATTRIBUTES, key)?
            && let Some(value) = known::value(value, 0)?
        {
            attributes.insert(key.to_owned(), value);
        }
    }
    if attributes.contains_key("service.instance.id") {
        attributes.remove("process.pid");
    }
    Ok(Resource { attributes })
}

fn number(point: &[u8]) -> Result<Read<'_>, Malformed> {
    let mut read = Read::default();
    for field in Fields::of(point) {
        match field? {
            (2, Field::Fixed64(start)) => read.start = start,
            (3, Field::Fixed64(time)) => read.time = time,
            (4, Field::Fixed64(bits)) => {
                read.value = Some(Told::Value(InstrumentValue::Float(f64::from_bits(bits))));
            }
            (6, Field::Fixed64(bits)) => {
                read.value = Some(Told::Value(InstrumentValue::Int(bits.cast_signed())));
            }
            (7, Field::Bytes(attribute)) => read.attributes.push(attribute),
            (8, Field::Varint(flags)) => read.has_ended = flags & NO_VALUE != 0,
            _ => {}
        }
    }
    Ok(read)
}

/// `None` for its value: the counts do not fit the bounds.
fn histogram(point: &[u8]) -> Result<Read<'_>, Malformed> {
    let mut read = Read::default();
    let (mut sum, mut counts, mut bounds) = (0.0, Vec::new(), Vec::new());
    let words = |packed: &[u8]| packed.chunks_exact(8).map(word).collect::<Vec<u64>>();
    for field in Fields::of(point) {
        match field? {
            (2, Field::Fixed64(start)) => read.start = start,
            (3, Field::Fixed64(time)) => read.time = time,
            (5, Field::Fixed64(bits)) => sum = f64::from_bits(bits),
            (6, Field::Fixed64(count)) => counts.push(count),
            (6, Field::Bytes(packed)) => counts.extend(words(packed)),
            (7, Field::Fixed64(bits)) => bounds.push(f64::from_bits(bits)),
            (7, Field::Bytes(packed)) => bounds.extend(words(packed).into_iter().map(f64::from_bits)),
            (9, Field::Bytes(attribute)) => read.attributes.push(attribute),
            (10, Field::Varint(flags)) => read.has_ended = flags & NO_VALUE != 0,
            _ => {}
        }
    }
    let rise = bounds.is_sorted_by(|one, other| one < other);
    if rise && counts.len() == bounds.len() + 1 {
        read.value = Some(Told::Value(InstrumentValue::Histogram { bounds, counts, sum }));
    }
    Ok(read)
}

/// `None` for its value: there are negative values in it.
fn exponential(point: &[u8]) -> Result<Read<'_>, Malformed> {
    let mut read = Read { value: Exponential::read(point)?.map(Told::Exponential), ..Read::default() };
    for field in Fields::of(point) {
        match field? {
            (1, Field::Bytes(attribute)) => read.attributes.push(attribute),
            (2, Field::Fixed64(start)) => read.start = start,
            (3, Field::Fixed64(time)) => read.time = time,
            (10, Field::Varint(flags)) => read.has_ended = flags & NO_VALUE != 0,
            _ => {}
        }
    }
    Ok(read)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
