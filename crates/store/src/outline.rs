//! A trace in outline: what a drawing needs of each of its spans, and nothing that only one who looks at a single span wants.
//!
//! Attributes, events and links are most of what there is to read in a trace of many thousand spans. Here they are walked over
//! in place; names, of which there are few, are kept once.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

use deliver::otlp::walk::{AnyValue, Attribute, Fields, Malformed, SpanFields, text};
use model::{
    ANATOMY_PREFIX, Kind, PARENT_SOURCE_ATTRIBUTE, Placed, Resource, SOURCE_ATTRIBUTE, Source, SpanId, StatusCode,
    TraceId, TraceSummary, UNFINISHED_ATTRIBUTE,
};
use rusqlite::{Connection, params};

use crate::schema::{LAST_ORDINAL, ORDINAL_BITS};
use crate::{Reader, StoreError, otlp, search};

/// How all keys begin that are read here.
const OWN: &[u8] = b"tandem.";
/// Numbers of a span's fields.
const EVENTS: u64 = 11;
const LINKS: u64 = 13;

/// A trace with its spans in order of their start.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// What a list says of it.
    pub summary: TraceSummary,
    /// Names of spans.
    pub names: Vec<String>,
    /// `service.name`s.
    pub services: Vec<String>,
    /// Names of instrumentation scopes.
    pub scopes: Vec<String>,
    /// How parents were found, where spans say so.
    pub parent_sources: Vec<String>,
    /// Parts of the anatomy.
    pub parts: Vec<String>,
    /// The spans.
    pub spans: Vec<OutlineSpan>,
    /// Parts of anatomies, as numbers of [`Outline::parts`], each with its time, ns: all spans' behind each other.
    pub anatomies: Vec<(u32, u64)>,
}

/// A span in outline; numbers stand for what the [`Outline`] has in its lists.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlineSpan {
    /// Its id.
    pub span_id: SpanId,
    /// Its parent's.
    pub parent_span_id: Option<SpanId>,
    /// Start, ns since 1970.
    pub start_unix_nano: u64,
    /// Duration, ns.
    pub duration_ns: u64,
    /// Its name.
    pub name: u32,
    /// Its service.
    pub service: u32,
    /// Its scope.
    pub scope: u32,
    /// How its parent was found.
    pub parent_source: Option<u32>,
    /// Its kind.
    pub kind: Kind,
    /// Where it comes from.
    pub source: Source,
    /// It failed.
    pub failed: bool,
    /// It had not ended.
    pub unfinished: bool,
    /// How many events it has.
    pub events: u32,
    /// How many links.
    pub links: u32,
    /// Which of [`Outline::anatomies`] are its; empty where not measured.
    pub anatomy: Range<u32>,
}

impl Placed for OutlineSpan {
    fn span_id(&self) -> SpanId {
        self.span_id
    }

    fn parent_span_id(&self) -> Option<SpanId> {
        self.parent_span_id
    }

    fn start_unix_nano(&self) -> u64 {
        self.start_unix_nano
    }

    fn duration_ns(&self) -> u64 {
        self.duration_ns
    }
}

impl Reader {
    /// A trace in outline.
    pub fn outline(&self, trace_id: TraceId) -> Result<Option<Outline>, StoreError> {
        self.with_connection(|connection| {
            let Some((id, summary)) = search::trace(connection, trace_id)? else { return Ok(None) };
            outline(connection, id, summary).map(Some)
        })
    }
}

/// Values by the numbers that stand for them, in the order in which they came.
struct Numbered<T>(HashMap<T, u32>);

impl<T: Eq + Hash + Clone> Numbered<T> {
    fn of<Q>(&mut self, value: &Q) -> u32
    where
        T: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = T> + ?Sized,
    {
        if let Some(&number) = self.0.get(value) {
            return number;
        }
        let number = self.0.len() as u32;
        self.0.insert(value.to_owned(), number);
        number
    }
}

impl Numbered<Vec<u8>> {
    fn texts(self) -> Vec<String> {
        let mut texts: Vec<_> = self.0.into_iter().collect();
        texts.sort_by_key(|(_, number)| *number);
        texts.into_iter().map(|(bytes, _)| text(&bytes).into_owned()).collect()
    }
}

/// What is being put together.
struct Reading {
    names: Numbered<Vec<u8>>,
    services: Numbered<Vec<u8>>,
    scopes: Numbered<Vec<u8>>,
    parent_sources: Numbered<Vec<u8>>,
    parts: Numbered<Vec<u8>>,
    /// Services of the resources' numbers in the store.
    resources: HashMap<i64, u32>,
    /// Scopes of the operations' numbers in the store.
    operations: HashMap<i64, u32>,
    spans: Vec<OutlineSpan>,
    anatomies: Vec<(u32, u64)>,
}

/// What a span's attributes say besides its anatomy.
struct Own {
    source: Source,
    unfinished: bool,
    parent_source: Option<u32>,
}

fn outline(connection: &Connection, trace: i64, summary: TraceSummary) -> rusqlite::Result<Outline> {
    let none = || Numbered(HashMap::new());
    let mut reading = Reading {
        names: none(),
        services: none(),
        scopes: none(),
        parent_sources: none(),
        parts: none(),
        resources: HashMap::new(),
        operations: HashMap::new(),
        spans: Vec::with_capacity(summary.span_count as usize),
        anatomies: Vec::new(),
    };
    let first = trace << ORDINAL_BITS;
    // In the order in which they lie: SQLite would sort so many blobs in a file.
    let mut statement = connection
        .prepare_cached("SELECT data, resource, operation FROM span WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
    let mut rows = statement.query(params![first, first | LAST_ORDINAL])?;
    while let Some(row) = rows.next()? {
        let service = reading.service(connection, row.get(1)?)?;
        let scope = reading.scope(connection, row.get(2)?)?;
        if reading.span(row.get_ref(0)?.as_blob()?, service, scope).is_err() {
            tracing::warn!("a stored span cannot be read");
        }
    }
    // Those that began at once stay as they came.
    reading.spans.sort_by_key(|span| span.start_unix_nano);
    Ok(Outline {
        summary,
        names: reading.names.texts(),
        services: reading.services.texts(),
        scopes: reading.scopes.texts(),
        parent_sources: reading.parent_sources.texts(),
        parts: reading.parts.texts(),
        spans: reading.spans,
        anatomies: reading.anatomies,
    })
}

impl Reading {
    fn service(&mut self, connection: &Connection, resource: i64) -> rusqlite::Result<u32> {
        if let Some(&known) = self.resources.get(&resource) {
            return Ok(known);
        }
        let data: Vec<u8> = connection
            .prepare_cached("SELECT data FROM resource WHERE id = ?1")?
            .query_row([resource], |row| row.get(0))?;
        let read: Resource = otlp::resource(&data).unwrap_or_default();
        let service = self.services.of(read.service().as_bytes());
        self.resources.insert(resource, service);
        Ok(service)
    }

    fn scope(&mut self, connection: &Connection, operation: i64) -> rusqlite::Result<u32> {
        if let Some(&known) = self.operations.get(&operation) {
            return Ok(known);
        }
        let name: String = connection
            .prepare_cached("SELECT scope FROM operation WHERE id = ?1")?
            .query_row([operation], |row| row.get(0))?;
        let scope = self.scopes.of(name.as_bytes());
        self.operations.insert(operation, scope);
        Ok(scope)
    }

    fn span(&mut self, bytes: &[u8], service: u32, scope: u32) -> Result<(), Malformed> {
        let mut own = Own { source: Source::Woven, unfinished: false, parent_source: None };
        let begin = self.anatomies.len() as u32;
        let fields = SpanFields::read_with(bytes, |attribute| {
            // What cannot be read of an attribute is left out.
            self.attribute(attribute, &mut own).unwrap_or_default();
            Ok(())
        })?;
        let (mut events, mut links) = (0, 0);
        for field in Fields::of(bytes) {
            match field?.0 {
                EVENTS => events += 1,
                LINKS => links += 1,
                _ => {}
            }
        }
        self.spans.push(OutlineSpan {
            span_id: fields.span_id,
            parent_span_id: fields.parent_span_id,
            start_unix_nano: fields.start_unix_nano,
            duration_ns: fields.duration_ns(),
            name: self.names.of(fields.name),
            service,
            scope,
            parent_source: own.parent_source,
            kind: Kind::from_otlp(fields.kind),
            source: own.source,
            failed: fields.status == StatusCode::Error,
            unfinished: own.unfinished,
            events,
            links,
            anatomy: begin..self.anatomies.len() as u32,
        });
        Ok(())
    }

    fn attribute(&mut self, attribute: &[u8], own: &mut Own) -> Result<(), Malformed> {
        let Some(Attribute { key, value }) = Attribute::read(attribute)? else { return Ok(()) };
        // Most are not ours, which is seen before their values are read.
        if !key.starts_with(OWN) {
            return Ok(());
        }
        match AnyValue::read(value)? {
            AnyValue::Int(nanos) => {
                let part = key.strip_prefix(ANATOMY_PREFIX.as_bytes());
                if let (Some(part), Ok(nanos)) = (part, u64::try_from(nanos)) {
                    self.anatomies.push((self.parts.of(part), nanos));
                }
            }
            AnyValue::String(name) if key == SOURCE_ATTRIBUTE.as_bytes() => {
                own.source = Source::from_name(name).unwrap_or(own.source);
            }
            AnyValue::String(how) if key == PARENT_SOURCE_ATTRIBUTE.as_bytes() => {
                own.parent_source = Some(self.parent_sources.of(how));
            }
            AnyValue::Bool(value) if key == UNFINISHED_ATTRIBUTE.as_bytes() => own.unfinished = value,
            _ => {}
        }
        Ok(())
    }
}
