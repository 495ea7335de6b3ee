//! Samples of stacks: into their tables, out of them by trace, span, route, service and time, and away when the store has grown
//! too large or they too old.
//!
//! Stacks repeat, and so do the functions on them: each is kept once. Which operation a sample belongs to is not written
//! down with it: the spans in the store say so when somebody asks.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use deliver::Batch;
use deliver::otlp::profiles;
use model::{Frame, ProfileKind, ProfileSample, ServiceSample, SpanId, TraceId};
use query::Query;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params, params_from_iter};

use crate::fits::Plan;
use crate::schema::{self, LAST_ORDINAL, ORDINAL_BITS};
use crate::{logs, search, varint};

/// Which samples to show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileFilter {
    /// Only of this kind.
    pub kind: Option<ProfileKind>,
    /// Only within this trace.
    pub trace: Option<TraceId>,
    /// Only within this span of that trace, and within its children.
    pub span: Option<SpanId>,
    /// Only within spans that fit, and within their children.
    pub query: Query,
    /// `service.name`, exactly.
    pub service: Option<String>,
    /// Earliest time, ns since 1970.
    pub since_unix_nano: Option<u64>,
    /// Say which operation each belongs to.
    pub with_operations: bool,
    /// At most so many: the newest.
    pub limit: usize,
}

/// A sample, and what it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSample {
    /// Its number in the store.
    pub number: i64,
    /// The sample.
    pub sample: ProfileSample,
    /// `service.name`.
    pub service: Arc<str>,
    /// Path of the program.
    pub executable: Arc<str>,
    /// The span's name, when that was asked for and the span is in the store.
    pub operation: Option<Arc<str>>,
    /// The route of the span, or of the nearest one around it that has one.
    pub route: Option<Arc<str>>,
}

impl From<StoredSample> for ServiceSample {
    fn from(stored: StoredSample) -> Self {
        Self { service: stored.service, sample: stored.sample }
    }
}

/// Stacks and functions that a writer remembers.
const KNOWN: usize = 50_000;

/// Rows that a writer knows.
#[derive(Default)]
pub struct KnownStacks {
    functions: HashMap<(String, String, u32), i64>,
    stacks: HashMap<Vec<u8>, i64>,
}

/// Writes the samples of one resource of a batch.
pub fn insert(
    transaction: &Transaction<'_>,
    known: &mut KnownStacks,
    resource: i64,
    samples: &[ProfileSample],
) -> rusqlite::Result<()> {
    let mut of_batch: HashMap<*const Vec<Frame>, i64> = HashMap::new();
    for sample in samples {
        let key = Arc::as_ptr(&sample.stack);
        let stack = match of_batch.get(&key) {
            Some(&stack) => stack,
            None => {
                let stack = known.stack(transaction, &sample.stack)?;
                of_batch.insert(key, stack);
                stack
            }
        };
        transaction
            .prepare_cached(
                "INSERT INTO profile_sample (time, kind, value, trace_id, span_id, thread, resource, stack)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                i64::try_from(sample.time_unix_nano).unwrap_or(i64::MAX),
                sample.kind as i64,
                i64::try_from(sample.value_ns).unwrap_or(i64::MAX),
                sample.trace_id.as_ref().map(|id| &id.0),
                sample.span_id.as_ref().map(|id| &id.0),
                sample.thread_id,
                resource,
                stack,
            ])?;
    }
    Ok(())
}

/// The samples of a batch, by the bytes of their resource.
pub fn read(batch: &Batch) -> Option<Vec<profiles::Profiled>> {
    profiles::read(&batch.bytes).ok()
}

impl KnownStacks {
    fn stack(&mut self, transaction: &Transaction<'_>, frames: &[Frame]) -> rusqlite::Result<i64> {
        let mut written = Vec::with_capacity(frames.len() * 4);
        for frame in frames {
            let function = self.function(transaction, frame)?;
            varint::write(&mut written, (function as u64) << 1 | u64::from(frame.inlined));
            varint::write(&mut written, frame.line.into());
        }
        if let Some(&id) = self.stacks.get(&written) {
            return Ok(id);
        }
        transaction.prepare_cached("INSERT OR IGNORE INTO profile_stack (frames) VALUES (?1)")?.execute([&written])?;
        let id = transaction
            .prepare_cached("SELECT id FROM profile_stack WHERE frames = ?1")?
            .query_row([&written], |row| row.get(0))?;
        if self.stacks.len() >= KNOWN {
            self.stacks.clear();
        }
        self.stacks.insert(written, id);
        Ok(id)
    }

    fn function(&mut self, transaction: &Transaction<'_>, frame: &Frame) -> rusqlite::Result<i64> {
        let key = (frame.function.clone(), frame.file.clone(), frame.start_line);
        if let Some(&id) = self.functions.get(&key) {
            return Ok(id);
        }
        let columns = params![frame.function, frame.file, frame.start_line];
        transaction
            .prepare_cached("INSERT OR IGNORE INTO profile_function (name, file, start_line) VALUES (?1, ?2, ?3)")?
            .execute(columns)?;
        let id = transaction
            .prepare_cached("SELECT id FROM profile_function WHERE name = ?1 AND file = ?2 AND start_line = ?3")?
            .query_row(columns, |row| row.get(0))?;
        if self.functions.len() >= KNOWN {
            self.functions.clear();
        }
        self.functions.insert(key, id);
        Ok(id)
    }
}

/// Whether there are samples of a trace.
pub fn has_samples(connection: &Connection, trace: TraceId) -> rusqlite::Result<bool> {
    if !schema::has_profiles(connection)? {
        return Ok(false);
    }
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM profile_sample WHERE trace_id = ?1)")?
        .query_row([&trace.0], |row| row.get(0))
}

/// Spans whose ids begin with these digits, with their traces.
pub fn find_spans(
    connection: &Connection,
    first: SpanId,
    last: SpanId,
    most: usize,
) -> rusqlite::Result<Vec<(TraceId, SpanId)>> {
    let mut found = Vec::new();
    if schema::has_profiles(connection)? {
        let mut statement = connection.prepare_cached(
            "SELECT DISTINCT trace_id, span_id FROM profile_sample
             WHERE span_id BETWEEN ?1 AND ?2 AND trace_id IS NOT NULL LIMIT ?3",
        )?;
        let rows = statement
            .query_map(params![first.0, last.0, most as i64], |row| Ok((TraceId(row.get(0)?), SpanId(row.get(1)?))))?;
        found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    }
    if found.is_empty() {
        let mut statement = connection.prepare_cached(
            "SELECT trace.trace_id, span.span_id FROM span JOIN trace ON trace.id = span.id >> ?3
             WHERE span.span_id BETWEEN ?1 AND ?2 LIMIT ?4",
        )?;
        let rows = statement.query_map(params![first.0, last.0, ORDINAL_BITS, most as i64], |row| {
            Ok((TraceId(row.get(0)?), SpanId(row.get(1)?)))
        })?;
        found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    }
    Ok(found)
}

/// Samples that fit, oldest first.
pub fn query(connection: &Connection, filter: &ProfileFilter) -> rusqlite::Result<Vec<StoredSample>> {
    if !schema::has_profiles(connection)? {
        return Ok(Vec::new());
    }
    let (conditions, values) = conditions(filter);
    let sql = format!(
        "SELECT time, kind, value, trace_id, span_id, thread, resource, stack, id FROM profile_sample
         WHERE {conditions} ORDER BY time DESC, id DESC LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let limit = Value::Integer(i64::try_from(filter.limit).unwrap_or(i64::MAX));
    let mut rows = statement.query(params_from_iter(values.into_iter().chain([limit])))?;
    let mut names = Names::default();
    let mut stacks: HashMap<i64, Arc<Vec<Frame>>> = HashMap::new();
    let mut resources: HashMap<i64, (Arc<str>, Arc<str>)> = HashMap::new();
    let mut traces: HashMap<TraceId, Spans> = HashMap::new();
    let plan = if filter.query.is_empty() { None } else { Some(Plan::new(connection, &filter.query)?) };
    let is_narrowed = filter.span.is_some() || plan.is_some();
    let mut samples = Vec::new();
    while let Some(row) = rows.next()? {
        let trace_id = row.get::<_, Option<[u8; 16]>>(3)?.map(TraceId);
        let span_id = row.get::<_, Option<[u8; 8]>>(4)?.map(SpanId);
        let (mut operation, mut of_route) = (None, None);
        if is_narrowed || filter.with_operations {
            let Some((trace, span)) = trace_id.zip(span_id) else {
                if is_narrowed {
                    continue;
                }
                samples.push(stored(connection, row, &mut stacks, &mut resources, &mut names)?);
                continue;
            };
            let spans = match traces.entry(trace) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(Spans::of(connection, trace, plan.as_ref())?),
            };
            if filter.span.is_some_and(|wanted| !spans.is_within(span, |around| around == wanted))
                || plan.is_some() && !spans.is_within(span, |around| spans.fitting.contains(&around))
            {
                continue;
            }
            operation = spans.known.get(&span).map(|span| Arc::clone(&span.name));
            of_route = spans.route(span);
        }
        let sample = stored(connection, row, &mut stacks, &mut resources, &mut names)?;
        samples.push(StoredSample { operation, route: of_route, ..sample });
    }
    samples.reverse();
    Ok(samples)
}

/// What a row says by itself.
fn stored(
    connection: &Connection,
    row: &rusqlite::Row<'_>,
    stacks: &mut HashMap<i64, Arc<Vec<Frame>>>,
    resources: &mut HashMap<i64, (Arc<str>, Arc<str>)>,
    names: &mut Names,
) -> rusqlite::Result<StoredSample> {
    let (resource, stack): (i64, i64) = (row.get(6)?, row.get(7)?);
    let stack = match stacks.entry(stack) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => place.insert(Arc::new(names.frames(connection, stack)?)),
    };
    if let Entry::Vacant(place) = resources.entry(resource) {
        let found = logs::resource_of(connection, resource)?;
        let executable = match found.attributes.get("process.executable.path") {
            Some(model::Value::String(path)) => path.as_str(),
            _ => "",
        };
        place.insert((found.service().into(), executable.into()));
    }
    let (service, executable) = resources[&resource].clone();
    Ok(StoredSample {
        number: row.get(8)?,
        sample: ProfileSample {
            kind: if row.get::<_, i64>(1)? == 0 { ProfileKind::Cpu } else { ProfileKind::OffCpu },
            time_unix_nano: row.get::<_, i64>(0)? as u64,
            value_ns: row.get::<_, i64>(2)? as u64,
            trace_id: row.get::<_, Option<[u8; 16]>>(3)?.map(TraceId),
            span_id: row.get::<_, Option<[u8; 8]>>(4)?.map(SpanId),
            thread_id: row.get(5)?,
            stack: Arc::clone(stack),
        },
        service,
        executable,
        operation: None,
        route: None,
    })
}

fn conditions(filter: &ProfileFilter) -> (String, Vec<Value>) {
    let mut conditions = vec!["1"];
    let mut values = Vec::new();
    if let Some(kind) = filter.kind {
        conditions.push("kind = ?");
        values.push(Value::Integer(kind as i64));
    }
    if let Some(trace) = &filter.trace {
        conditions.push("trace_id = ?");
        values.push(Value::Blob(trace.0.to_vec()));
    }
    if let Some(service) = &filter.service {
        conditions.push("resource IN (SELECT id FROM resource WHERE service_of(data) = ?)");
        values.push(Value::Text(service.clone()));
    }
    if let Some(since) = filter.since_unix_nano {
        conditions.push("time >= ?");
        values.push(Value::Integer(i64::try_from(since).unwrap_or(i64::MAX)));
    }
    (conditions.join(" AND "), values)
}

/// The spans of a trace.
#[derive(Default)]
struct Spans {
    known: HashMap<SpanId, KnownSpan>,
    /// Those that fit the query, if there is one.
    fitting: HashSet<SpanId>,
}

struct KnownSpan {
    parent: Option<SpanId>,
    name: Arc<str>,
    route: Arc<str>,
}

impl Spans {
    fn of(connection: &Connection, trace: TraceId, plan: Option<&Plan>) -> rusqlite::Result<Self> {
        let fitting = match plan {
            Some(plan) => search::fitting_spans(connection, plan, trace)?,
            None => HashSet::new(),
        };
        // Then nothing of it is shown, and nobody asks for more.
        if plan.is_some() && fitting.is_empty() {
            return Ok(Self::default());
        }
        let id: Option<i64> = connection
            .prepare_cached("SELECT id FROM trace WHERE trace_id = ?1")?
            .query_row([&trace.0], |row| row.get(0))
            .optional()?;
        let Some(id) = id else { return Ok(Self::default()) };
        let first = id << ORDINAL_BITS;
        let mut statement = connection.prepare_cached(
            "SELECT span_id, parent_id, name, route FROM span JOIN operation ON operation.id = operation
             WHERE span.id BETWEEN ?1 AND ?2",
        )?;
        let rows = statement.query_map([first, first | LAST_ORDINAL], |row| {
            let span = KnownSpan {
                parent: row.get::<_, Option<[u8; 8]>>(1)?.map(SpanId),
                name: row.get(2)?,
                route: row.get(3)?,
            };
            Ok((SpanId(row.get(0)?), span))
        })?;
        Ok(Self { known: rows.collect::<rusqlite::Result<_>>()?, fitting })
    }

    /// The span and those around it, as far as they are known.
    fn around(&self, span: SpanId) -> impl Iterator<Item = (SpanId, Option<&KnownSpan>)> {
        const DEEPEST: usize = 10_000;
        let mut next = Some(span);
        std::iter::from_fn(move || {
            let span = next?;
            let known = self.known.get(&span);
            next = known.and_then(|known| known.parent);
            Some((span, known))
        })
        .take(DEEPEST) // damaged data may go in circles
    }

    fn is_within(&self, span: SpanId, wanted: impl Fn(SpanId) -> bool) -> bool {
        self.around(span).any(|(span, _)| wanted(span))
    }

    fn route(&self, span: SpanId) -> Option<Arc<str>> {
        self.around(span)
            .filter_map(|(_, known)| known)
            .find(|known| !known.route.is_empty())
            .map(|known| Arc::clone(&known.route))
    }
}

/// Functions by their numbers.
#[derive(Default)]
struct Names(HashMap<i64, Frame>);

impl Names {
    fn frames(&mut self, connection: &Connection, stack: i64) -> rusqlite::Result<Vec<Frame>> {
        let written: Option<Vec<u8>> = connection
            .prepare_cached("SELECT frames FROM profile_stack WHERE id = ?1")?
            .query_row([stack], |row| row.get(0))
            .optional()?;
        let mut frames = Vec::new();
        for (function, inlined, line) in functions(&written.unwrap_or_default()) {
            let known = match self.0.get(&function) {
                Some(known) => known.clone(),
                None => {
                    let found = connection
                        .prepare_cached("SELECT name, file, start_line FROM profile_function WHERE id = ?1")?
                        .query_row([function], |row| {
                            Ok(Frame {
                                function: row.get(0)?,
                                file: row.get(1)?,
                                start_line: row.get(2)?,
                                ..Frame::default()
                            })
                        })
                        .optional()?
                        .unwrap_or_default();
                    self.0.insert(function, found.clone());
                    found
                }
            };
            frames.push(Frame { line, inlined, ..known });
        }
        Ok(frames)
    }
}

/// The frames of a stack as they are written: number of the function, inlined or not, line.
pub fn functions(mut written: &[u8]) -> impl Iterator<Item = (i64, bool, u32)> {
    std::iter::from_fn(move || {
        let function = varint::read(&mut written)?;
        let line = varint::read(&mut written)?;
        Some(((function >> 1) as i64, function & 1 != 0, u32::try_from(line).unwrap_or(0)))
    })
}

/// Removes stacks and functions that no sample has any more.
pub fn forget_unused(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM profile_stack WHERE id NOT IN (SELECT stack FROM profile_sample)", [])?;
    let mut used = HashSet::new();
    let mut stacks = transaction.prepare("SELECT frames FROM profile_stack")?;
    let mut rows = stacks.query([])?;
    while let Some(row) = rows.next()? {
        used.extend(functions(row.get_ref(0)?.as_blob()?).map(|(function, ..)| function));
    }
    let all: Vec<i64> = transaction
        .prepare("SELECT id FROM profile_function")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = transaction.prepare("DELETE FROM profile_function WHERE id = ?1")?;
    all.into_iter().filter(|id| !used.contains(id)).try_for_each(|id| delete.execute([id]).map(drop))
}
