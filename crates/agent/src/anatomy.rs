//! The anatomy as metrics: for each operation and part, how long its spans spent there. Of sampled spans only: the others
//! leave no anatomy.

use std::collections::HashMap;
use std::sync::Arc;

use deliver::metrics::{Metric, Origin, Point, RedKey, kind_name};
use deliver::otlp::encode::{Parts, UnixNanos};
use foldhash::fast::RandomState;
use model::Value;
use record::InstrumentKind;
use record::InstrumentValue;
use record::layout::PARTS;

use crate::kernel::SystemCalls;

/// Upper bounds, ns; one more bucket takes what is above the last. Few, for each operation has them for each part.
const BOUNDS: [u64; 11] = [
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
    10_000_000_000,
];
/// Operations of all services together.
const OPERATIONS_LIMIT: usize = 1000;
/// Which halves of the anatomy were measured, and which parts the machine tells apart: a span is of one of few kinds.
const KINDS_LIMIT: usize = 8;

/// An operation's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationIndex(usize);

/// All operations of all programs. Cumulative since the agent started.
#[derive(Debug)]
pub struct Anatomies {
    index: HashMap<String, OperationIndex, RandomState>,
    operations: Vec<Operation>,
    /// Operations by service.
    counts: HashMap<Arc<str>, usize>,
    /// Operations of one service, the one of all others included.
    limit: usize,
}

#[derive(Debug)]
struct Operation {
    service: Arc<str>,
    attributes: Vec<(String, Value)>,
    /// Spans, by the parts that were measured.
    spans: Vec<(u32, u64)>,
    /// Times that were not 0.
    spent: [Option<Box<Spent>>; PARTS.len()],
    retransmits: u64,
    page_faults: u64,
    /// Added up by name; there are as many names as the kernel has.
    system_calls: Vec<SystemCallSum>,
}

#[derive(Debug)]
struct SystemCallSum {
    name: &'static str,
    count: u64,
    time_ns: u64,
}

#[derive(Debug, Default)]
struct Spent {
    buckets: [u64; BOUNDS.len() + 1],
    sum_ns: u64,
}

impl Anatomies {
    /// Keeps as many operations of a service as have no more series together, a part each, than `limit`.
    pub fn new(limit: usize) -> Self {
        Self {
            index: HashMap::default(),
            operations: Vec::new(),
            counts: HashMap::new(),
            limit: (limit / PARTS.len()).max(1),
        }
    }

    /// Finds or makes the operation of a series.
    pub fn operation(&mut self, key: &RedKey) -> OperationIndex {
        let attributes = attributes(key);
        if let Some(found) = self.index.get(&identity(&key.service, &attributes)) {
            return *found;
        }
        let own = self.counts.entry(Arc::clone(&key.service)).or_default();
        if key.overflow || (*own + 1 < self.limit && self.operations.len() < OPERATIONS_LIMIT) {
            *own += usize::from(!key.overflow);
            return self.insert(&key.service, attributes);
        }
        let overflow = overflow();
        let found = self.index.get(&identity(&key.service, &overflow)).copied();
        found.unwrap_or_else(|| self.insert(&key.service, overflow))
    }

    /// Adds one span.
    #[inline]
    pub fn span(&mut self, index: OperationIndex, parts: &Parts) {
        let measured = parts.measured();
        if measured == 0 {
            return;
        }
        let operation = &mut self.operations[index.0];
        match operation.spans.iter().position(|(kind, _)| *kind == measured) {
            Some(kind) => operation.spans[kind].1 += 1,
            None if operation.spans.len() < KINDS_LIMIT => operation.spans.push((measured, 1)),
            None => return,
        }
        for (part, spent) in operation.spent.iter_mut().enumerate() {
            let nanoseconds = parts.get(part).unwrap_or(0);
            if nanoseconds != 0 {
                let spent = spent.get_or_insert_default();
                let bucket = BOUNDS.partition_point(|&bound| bound < nanoseconds);
                spent.buckets[bucket] += 1;
                spent.sum_ns = spent.sum_ns.saturating_add(nanoseconds);
            }
        }
    }

    /// Adds what the kernel counted of one span.
    pub fn counts(&mut self, index: OperationIndex, retransmits: u64, page_faults: u64, calls: &[SystemCalls]) {
        let operation = &mut self.operations[index.0];
        operation.retransmits = operation.retransmits.saturating_add(retransmits);
        operation.page_faults = operation.page_faults.saturating_add(page_faults);
        let sums = &mut operation.system_calls;
        for call in calls {
            let place = sums.iter().position(|sum| sum.name == call.name).unwrap_or_else(|| {
                sums.push(SystemCallSum { name: call.name, count: 0, time_ns: 0 });
                sums.len() - 1
            });
            sums[place].count += u64::from(call.count);
            sums[place].time_ns = sums[place].time_ns.saturating_add(call.time);
        }
    }

    /// The metrics of each service. A part in which no span of an operation ever spent time is left out.
    pub fn metrics(&self, start: UnixNanos, now: UnixNanos) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        let mut places: HashMap<(Arc<str>, &'static str), usize> = HashMap::new();
        let mut add = |kind: Kind, service: &Arc<str>, points: &mut dyn Iterator<Item = Point>| {
            let mut points = points.peekable();
            if points.peek().is_none() {
                return;
            }
            let index = *places.entry((Arc::clone(service), kind.name())).or_insert_with(|| {
                metrics.push(kind.metric(service));
                metrics.len() - 1
            });
            metrics[index].points.extend(points);
        };
        for operation in &self.operations {
            add(Kind::Parts, &operation.service, &mut operation.points(start, now));
            for kind in [Kind::SystemCalls, Kind::SystemCallTime] {
                add(kind, &operation.service, &mut operation.system_call_points(kind, start, now));
            }
            for (kind, count) in [(Kind::Retransmits, operation.retransmits), (Kind::PageFaults, operation.page_faults)]
            {
                let point = (count != 0).then(|| Point {
                    attributes: operation.attributes.clone(),
                    start,
                    time: now,
                    value: whole(count),
                    exemplars: Vec::new(),
                });
                add(kind, &operation.service, &mut point.into_iter());
            }
        }
        metrics
    }

    fn insert(&mut self, service: &Arc<str>, attributes: Vec<(String, Value)>) -> OperationIndex {
        let index = OperationIndex(self.operations.len());
        self.index.insert(identity(service, &attributes), index);
        self.operations.push(Operation {
            service: Arc::clone(service),
            attributes,
            spans: Vec::new(),
            spent: Default::default(),
            retransmits: 0,
            page_faults: 0,
            system_calls: Vec::new(),
        });
        index
    }
}

impl Operation {
    fn points(&self, start: UnixNanos, time: UnixNanos) -> impl Iterator<Item = Point> {
        let spent = self.spent.iter().enumerate().filter_map(|(part, spent)| Some((part, spent.as_ref()?)));
        spent.map(move |(part, spent)| {
            let mut attributes = self.attributes.clone();
            attributes.push(("tandem.anatomy.part".to_owned(), Value::String(PARTS[part].to_owned())));
            let measured: u64 =
                self.spans.iter().filter(|(kind, _)| kind & 1 << part != 0).map(|(_, count)| count).sum();
            let mut counts = spent.buckets.to_vec();
            // The others spent no time there.
            counts[0] += measured.saturating_sub(spent.buckets.iter().sum());
            let value = InstrumentValue::Histogram {
                bounds: BOUNDS.iter().map(|&bound| bound as f64 / 1e9).collect(),
                counts,
                sum: spent.sum_ns as f64 / 1e9,
            };
            Point { attributes, start, time, value, exemplars: Vec::new() }
        })
    }

    fn system_call_points(&self, kind: Kind, start: UnixNanos, time: UnixNanos) -> impl Iterator<Item = Point> {
        self.system_calls.iter().map(move |sum| {
            let mut attributes = self.attributes.clone();
            attributes.push(("tandem.syscall.name".to_owned(), Value::String(sum.name.to_owned())));
            let value = match kind {
                Kind::SystemCallTime => InstrumentValue::Float(sum.time_ns as f64 / 1e9),
                _ => whole(sum.count),
            };
            Point { attributes, start, time, value, exemplars: Vec::new() }
        })
    }
}

fn whole(count: u64) -> InstrumentValue {
    InstrumentValue::Int(count.min(i64::MAX.cast_unsigned()).cast_signed())
}

/// What is told of operations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Parts,
    Retransmits,
    PageFaults,
    SystemCalls,
    SystemCallTime,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Parts => "tandem.anatomy.part.duration",
            Self::Retransmits => "tandem.tcp.retransmits",
            Self::PageFaults => "tandem.page_faults",
            Self::SystemCalls => "tandem.syscall.count",
            Self::SystemCallTime => "tandem.syscall.time",
        }
    }

    fn metric(self, service: &Arc<str>) -> Metric {
        let (unit, description) = match self {
            Self::Parts => ("s", "Time that sampled spans spent in each part of their anatomy."),
            Self::Retransmits => {
                ("{segment}", "TCP segments sent again while sampled spans waited for their connections.")
            }
            Self::PageFaults => ("{fault}", "Page faults of sampled spans that waited for no device."),
            Self::SystemCalls => ("{call}", "System calls that sampled spans made."),
            Self::SystemCallTime => ("s", "Time that sampled spans spent in system calls, waits included."),
        };
        Metric {
            origin: Origin::Service(Arc::clone(service)),
            scope: "tandem/agent".to_owned(),
            scope_version: String::new(),
            schema_url: String::new(),
            name: self.name().to_owned(),
            unit: unit.to_owned(),
            description: description.to_owned(),
            kind: if self == Self::Parts { InstrumentKind::Histogram } else { InstrumentKind::Counter },
            observed: false,
            points: Vec::new(),
        }
    }
}

fn attributes(key: &RedKey) -> Vec<(String, Value)> {
    if key.overflow {
        return overflow();
    }
    let mut attributes = vec![
        ("span.name".to_owned(), Value::String(key.span_name.clone())),
        ("span.kind".to_owned(), Value::String(kind_name(key.kind).to_owned())),
    ];
    attributes.extend(key.dimensions.iter().filter(|(name, _)| name == "http.route").cloned());
    attributes
}

fn overflow() -> Vec<(String, Value)> {
    vec![("otel.metric.overflow".to_owned(), Value::Bool(true))]
}

/// Text that is the same for the same operation only.
fn identity(service: &str, attributes: &[(String, Value)]) -> String {
    format!("{service:?}{attributes:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(route: &str) -> RedKey {
        RedKey {
            service: "shop".into(),
            span_name: format!("GET {route}"),
            kind: 2,
            status: 0,
            dimensions: vec![("http.route".to_owned(), Value::String(route.to_owned()))],
            metric: "http.server.request.duration",
            overflow: false,
        }
    }

    fn points(anatomies: &Anatomies) -> Vec<(String, String, Vec<u64>, f64)> {
        let metrics = anatomies.metrics(UnixNanos(1), UnixNanos(2));
        let points = metrics.into_iter().flat_map(|metric| metric.points);
        let point = |point: Point| {
            let text = |name: &str| {
                let found = point.attributes.iter().find(|(key, _)| key == name);
                found.map(|(_, value)| value.to_string()).unwrap_or_default()
            };
            let InstrumentValue::Histogram { counts, sum, .. } = &point.value else { panic!("no histogram") };
            (text("http.route"), text("tandem.anatomy.part"), counts.clone(), *sum)
        };
        points.map(point).collect()
    }

    /// Series that differ in status or other dimensions are one operation; spans without time in a part count there, too.
    #[test]
    fn spans_of_a_route_are_added_up_by_part() {
        let mut anatomies = Anatomies::new(2000);
        let index = anatomies.operation(&key("/a"));
        assert_eq!(anatomies.operation(&RedKey { status: 2, ..key("/a") }), index);
        let mut parts = Parts::zeros(0b110);
        parts.set(1, 2_000_000);
        anatomies.span(index, &parts);
        anatomies.span(index, &Parts::zeros(0b110));
        anatomies.span(index, &Parts::zeros(0)); // nothing was measured
        assert_eq!(
            points(&anatomies),
            [("/a".to_owned(), "run_queue".to_owned(), vec![1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 0.002)]
        );
    }

    /// What the kernel counted is added up by operation, of system calls by name; what never happened is left out.
    #[test]
    fn counts_of_the_kernel_are_added_up() {
        let mut anatomies = Anatomies::new(2000);
        let (a, b) = (anatomies.operation(&key("/a")), anatomies.operation(&key("/b")));
        let read = |count| [SystemCalls { name: "read", count, time: 1_500_000_000 }];
        anatomies.counts(a, 2, 0, &read(3));
        anatomies.counts(a, 1, 0, &read(4));
        anatomies.counts(b, 0, 5, &[]);
        let found: Vec<_> = anatomies
            .metrics(UnixNanos(1), UnixNanos(2))
            .into_iter()
            .flat_map(|metric| metric.points.into_iter().map(move |point| (metric.name.clone(), point.value)))
            .collect();
        let expected = [
            ("tandem.syscall.count", InstrumentValue::Int(7)),
            ("tandem.syscall.time", InstrumentValue::Float(3.0)),
            ("tandem.tcp.retransmits", InstrumentValue::Int(3)),
            ("tandem.page_faults", InstrumentValue::Int(5)),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    /// What is beyond the limit is counted in one operation that says so.
    #[test]
    fn operations_are_bounded() {
        let mut anatomies = Anatomies::new(3 * PARTS.len());
        for route in 0..100 {
            let index = anatomies.operation(&key(&format!("/{route}")));
            let mut parts = Parts::zeros(1);
            parts.set(0, 1_000);
            anatomies.span(index, &parts);
        }
        let points = points(&anatomies);
        assert_eq!(points.len(), 3);
        assert_eq!((points[2].0.as_str(), points[2].2[0]), ("", 98));
    }
}
