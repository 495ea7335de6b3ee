//! Rates, errors and durations of spans: those that were sampled, as they pass, and the counts that the others left.
//! Together they are exact, whatever is sampled.

use std::collections::HashMap;
use std::sync::Arc;

use deliver::conventions;
use deliver::metrics::{Exemplar, Metric, RedKey, RedSeries};
use deliver::otlp::encode::{Parts, UnixNanos};
use foldhash::fast::RandomState;
use model::{Resource, Value};
use record::layout::{BUCKET_BOUNDS, BUCKET_COUNT};

use crate::anatomy::{Anatomies, OperationIndex};
use crate::graph::{About, Ends, Graph, RoleIndex, ServiceGraph};
use crate::kernel::SystemCalls;

/// Series that are kept of all services together, or the limit of one metric, if that is more.
const SERIES_LIMIT: usize = 10_000;
/// Series of a metric of one service, the one of all others included, as the specification has it.
pub const DEFAULT_CARDINALITY_LIMIT: usize = 2000;

/// Services, each with a metric, that have a series of their own for whatever is too much; those that come after share one.
const OVERFLOWS_LIMIT: usize = 4_000;
/// The name of them all, as the conventions call what stands for everything else.
const OTHER_SERVICES: &str = "_OTHER";

/// A series' place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesIndex {
    place: u32,
    /// What its spans are in the service graph.
    role: RoleIndex,
}

impl SeriesIndex {
    /// What its spans are in the service graph.
    #[inline]
    pub fn role(self) -> RoleIndex {
        self.role
    }
}

/// What is known of a series' spans beside its key, for the service graph.
#[derive(Clone, Copy, Debug, Default)]
pub struct Besides<'a> {
    /// Attributes that [`Graph::wanted`] names and that are no dimensions.
    pub attributes: &'a [(String, Value)],
    /// What they come from.
    pub resource: Option<&'a Resource>,
}

/// Of a series, by duration, the spans that left only a count; `None`: there were none.
pub type Unrecorded = Option<Box<[u64; BUCKET_COUNT]>>;

/// All series of all programs. Cumulative since the agent started.
#[derive(Debug)]
pub struct Measure {
    index: HashMap<String, u32, RandomState>,
    series: Vec<RedSeries>,
    /// Of each series, the spans that left only a count, where there were any.
    unrecorded: Vec<Unrecorded>,
    /// Of each series, the recorded spans that begin a trace.
    roots: Vec<u64>,
    /// The operation that each series belongs to.
    operations: Vec<OperationIndex>,
    anatomies: Anatomies,
    /// Who calls whom.
    pub graph: Graph,
    /// Series by service and metric.
    counts: HashMap<(Arc<str>, &'static str), usize>,
    limit: usize,
    /// Series that stand for what was too much.
    overflows: usize,
}

impl Default for Measure {
    fn default() -> Self {
        Self::new(DEFAULT_CARDINALITY_LIMIT, &ServiceGraph::default())
    }
}

impl Measure {
    /// Keeps so many series of a metric of one service; what comes after goes into one that says so.
    pub fn new(limit: usize, graph: &ServiceGraph) -> Self {
        Self {
            index: HashMap::default(),
            series: Vec::new(),
            unrecorded: Vec::new(),
            roots: Vec::new(),
            operations: Vec::new(),
            anatomies: Anatomies::new(limit),
            graph: Graph::new(graph, limit),
            counts: HashMap::new(),
            limit,
            overflows: 0,
        }
    }

    /// Finds or makes a series.
    pub fn series(&mut self, key: RedKey, besides: &Besides<'_>) -> SeriesIndex {
        let role = self.role(&key, besides);
        SeriesIndex { place: self.place(key), role }
    }

    /// The series of whatever is one too many.
    pub fn overflow(&mut self, key: &RedKey, besides: &Besides<'_>) -> SeriesIndex {
        let role = self.role(key, besides);
        SeriesIndex { place: self.place(overflow(key)), role }
    }

    /// What such spans are in the service graph.
    pub fn role(&mut self, key: &RedKey, besides: &Besides<'_>) -> RoleIndex {
        self.graph.role(&About {
            service: &key.service,
            name: &key.span_name,
            kind: key.kind,
            failed: key.status == 2,
            dimensions: &key.dimensions,
            more: besides.attributes,
            resource: besides.resource,
        })
    }

    fn place(&mut self, key: RedKey) -> u32 {
        if let Some(found) = self.find(&key) {
            return found;
        }
        let of = (Arc::clone(&key.service), key.metric);
        let has_room = self.counts.get(&of).copied().unwrap_or(0) + 1 < self.limit
            && self.series.len() - self.overflows < SERIES_LIMIT.max(self.limit);
        if has_room && !key.overflow {
            *self.counts.entry(of).or_default() += 1;
            return self.insert(key);
        }
        let mut overflow = overflow(&key);
        if let Some(found) = self.find(&overflow) {
            return found;
        }
        if self.overflows >= OVERFLOWS_LIMIT {
            overflow.service = Arc::from(OTHER_SERVICES);
            if let Some(found) = self.find(&overflow) {
                return found;
            }
        }
        self.overflows += 1;
        self.insert(overflow)
    }

    /// Adds one span.
    #[inline]
    pub fn span(&mut self, index: SeriesIndex, span: Exemplar) {
        let series = &mut self.series[index.place as usize];
        let bucket = bucket(span.duration_ns);
        // Saturating: counts that a program has made up must not stop the agent.
        series.buckets[bucket] = series.buckets[bucket].saturating_add(1);
        series.sum_ns = series.sum_ns.saturating_add(span.duration_ns);
        if series.exemplars.is_empty() {
            series.exemplars = vec![None; BUCKET_COUNT];
        }
        series.exemplars[bucket] = Some(span);
    }

    /// The span that was just added begins a trace.
    #[inline]
    pub fn root(&mut self, index: SeriesIndex) {
        self.roots[index.place as usize] += 1;
    }

    /// Shows one span to the service graph.
    #[inline]
    pub fn ends<'a>(&mut self, index: SeriesIndex, ends: impl FnOnce() -> Ends<'a>) {
        if !index.role.is_none() {
            self.graph.span(index.role, &ends());
        }
    }

    /// Adds what the anatomy of one span says.
    #[inline]
    pub fn anatomy(&mut self, index: SeriesIndex, parts: &Parts) {
        self.anatomies.span(self.operations[index.place as usize], parts);
    }

    /// Adds what the kernel counted of one span.
    #[inline]
    pub fn kernel_counts(&mut self, index: SeriesIndex, retransmits: u64, page_faults: u64, calls: &[SystemCalls]) {
        if retransmits | page_faults != 0 || !calls.is_empty() {
            self.anatomies.counts(self.operations[index.place as usize], retransmits, page_faults, calls);
        }
    }

    /// The anatomies as metrics.
    pub fn anatomies(&self, start: UnixNanos, now: UnixNanos) -> Vec<Metric> {
        self.anatomies.metrics(start, now)
    }

    /// Adds spans that only left their counts.
    pub fn counts(&mut self, index: SeriesIndex, buckets: &[u64; BUCKET_COUNT], sum_ns: u64) {
        let unrecorded = self.unrecorded[index.place as usize].get_or_insert_with(|| Box::new([0; BUCKET_COUNT]));
        for (bucket, more) in unrecorded.iter_mut().zip(buckets) {
            *bucket = bucket.saturating_add(*more);
        }
        self.graph.counts(index.role, buckets, sum_ns);
        let series = &mut self.series[index.place as usize];
        for (bucket, more) in series.buckets.iter_mut().zip(buckets) {
            *bucket = bucket.saturating_add(*more);
        }
        series.sum_ns = series.sum_ns.saturating_add(sum_ns);
    }

    /// All series, in the order in which they came, and of each the spans that left only a count.
    pub fn all(&self) -> (&[RedSeries], &[Unrecorded]) {
        (&self.series, &self.unrecorded)
    }

    /// Of each series, how many of the recorded spans begin a trace.
    pub fn roots(&self) -> &[u64] {
        &self.roots
    }

    /// A copy of all series.
    pub fn snapshot(&self) -> Vec<RedSeries> {
        self.series.clone()
    }

    fn find(&self, key: &RedKey) -> Option<u32> {
        self.index.get(&identity(key)).copied()
    }

    fn insert(&mut self, key: RedKey) -> u32 {
        let index = self.series.len() as u32; // bounded by far less
        self.index.insert(identity(&key), index);
        self.unrecorded.push(None);
        self.roots.push(0);
        self.operations.push(self.anatomies.operation(&key));
        self.series.push(RedSeries {
            key: Arc::new(key),
            buckets: [0; BUCKET_COUNT],
            sum_ns: 0,
            exemplars: Vec::new(),
        });
        index
    }
}

/// The metric that the conventions have for the durations of such spans.
pub fn metric_of(key: &RedKey) -> &'static str {
    conventions::metric_of(key.kind, &key.dimensions)
}

/// The series of a service, for a metric, of whatever is one too many.
pub fn overflow(key: &RedKey) -> RedKey {
    RedKey {
        service: Arc::clone(&key.service),
        span_name: String::new(),
        kind: 0,
        status: 0,
        dimensions: Vec::new(),
        metric: key.metric,
        overflow: true,
    }
}

/// Number of the bucket that a duration belongs to.
#[inline]
pub fn bucket(duration_ns: u64) -> usize {
    BUCKET_BOUNDS.partition_point(|&bound| bound < duration_ns)
}

/// Text that is the same for the same key only.
fn identity(key: &RedKey) -> String {
    format!("{:?}", (&key.service, &key.span_name, key.kind, key.status, &key.dimensions, key.metric, key.overflow))
}
