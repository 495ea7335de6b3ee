//! What is read of a span to find out whether another one tells of the same operation.

use std::hash::BuildHasher;

use deliver::otlp::walk::{AnyValue, Attribute, Malformed, SpanFields};
use foldhash::fast::FixedState;
use model::{Kind, PARENT_SOURCE_ATTRIBUTE, SOURCE_ATTRIBUTE, Source, SpanId, TraceId};

/// A span, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent: Option<SpanId>,
    pub kind: Kind,
    /// ns since 1970.
    pub start: u64,
    pub end: u64,
    pub source: Source,
    /// Whose child it is was inferred, and may be wrong.
    pub is_guess: bool,
    /// What it did; `None`: nothing of the kinds that two observers could both see.
    pub what: Option<What>,
}

/// An operation, told in the words that all who could see it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct What {
    pub class: Class,
    /// Of method and path, the procedure, the query's first word, the destination.
    name: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Http,
    Rpc,
    Database,
    Messaging,
}

impl Facts {
    pub(super) fn read(span: &[u8]) -> Result<Self, Malformed> {
        let mut words = Words::default();
        let fields = SpanFields::read_with(span, |key_value| {
            if let Some(attribute) = Attribute::read(key_value)? {
                words.note(attribute)?;
            }
            Ok(())
        })?;
        let end = fields.end_unix_nano.max(fields.start_unix_nano);
        Ok(Self {
            trace_id: fields.trace_id,
            span_id: fields.span_id,
            parent: fields.parent_span_id,
            kind: Kind::from_otlp(fields.kind),
            start: fields.start_unix_nano,
            end,
            source: words.source,
            is_guess: words.is_guess,
            what: words.what(),
        })
    }

    /// Seen from outside of the program.
    pub(super) fn is_observed(&self) -> bool {
        self.source.is_observed()
    }

    /// Told by the program itself, in words of its own.
    pub(super) fn is_told(&self) -> bool {
        matches!(self.source, Source::Api | Source::Otlp)
    }

    /// The times of one are within those of the other, but for what two clocks and two places of looking are apart.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.start + APART >= other.start && self.end <= other.end + APART
    }
}

/// So far the same moment may be apart in two observers' eyes, ns.
const APART: u64 = 2_000_000;

/// Attributes by the names that the conventions have, and had.
#[derive(Default)]
struct Words<'a> {
    source: Source,
    is_guess: bool,
    method: &'a [u8],
    path: &'a [u8],
    url: &'a [u8],
    rpc_system: &'a [u8],
    rpc_service: &'a [u8],
    rpc_method: &'a [u8],
    database: &'a [u8],
    operation: &'a [u8],
    query: &'a [u8],
    messaging: &'a [u8],
    destination: &'a [u8],
}

impl<'a> Words<'a> {
    fn note(&mut self, attribute: Attribute<'a>) -> Result<(), Malformed> {
        // Most keys end here.
        let place = match attribute.key {
            b"http.request.method" | b"http.method" => &mut self.method,
            b"url.path" | b"http.target" => &mut self.path,
            b"url.full" | b"http.url" => &mut self.url,
            b"rpc.service" => &mut self.rpc_service,
            b"rpc.method" => &mut self.rpc_method,
            b"db.operation.name" | b"db.operation" => &mut self.operation,
            b"db.query.text" | b"db.statement" | b"db.query.summary" => &mut self.query,
            b"messaging.destination.name" | b"messaging.destination" => &mut self.destination,
            b"rpc.system" | b"rpc.system.name" => &mut self.rpc_system,
            b"db.system" | b"db.system.name" => &mut self.database,
            b"messaging.system" => &mut self.messaging,
            key if key == SOURCE_ATTRIBUTE.as_bytes() => {
                if let AnyValue::String(name) = AnyValue::read(attribute.value)? {
                    self.source = Source::from_name(name).unwrap_or_default();
                }
                return Ok(());
            }
            key if key == PARENT_SOURCE_ATTRIBUTE.as_bytes() => {
                let sure = [&b"remote"[..], b"connection", b"woven", b"explicit"]; // docs/unwoven.md, docs/sockets.md
                self.is_guess =
                    !matches!(AnyValue::read(attribute.value)?, AnyValue::String(name) if sure.contains(&name));
                return Ok(());
            }
            _ => return Ok(()),
        };
        if let AnyValue::String(text) = AnyValue::read(attribute.value)? {
            *place = text;
        }
        Ok(())
    }

    fn what(&self) -> Option<What> {
        // What an RPC or a database call is says more than the HTTP that may carry it.
        if !self.rpc_system.is_empty() && !self.rpc_method.is_empty() {
            let (service, method) = match self.rpc_method.iter().rposition(|&byte| byte == b'/') {
                Some(slash) => (&self.rpc_method[..slash], &self.rpc_method[slash + 1..]),
                None => (self.rpc_service, self.rpc_method),
            };
            return Some(What::of(Class::Rpc, &[service.strip_prefix(b"/").unwrap_or(service), method]));
        }
        if !self.database.is_empty() {
            let words = if self.operation.is_empty() { self.query } else { self.operation };
            let first = words.trim_ascii_start().split(|byte| !byte.is_ascii_alphanumeric()).next().unwrap_or_default();
            return Some(What::of(Class::Database, &[&first.to_ascii_lowercase()]));
        }
        if !self.messaging.is_empty() {
            return Some(What::of(Class::Messaging, &[self.destination]));
        }
        let path = if self.path.is_empty() { path_of(self.url) } else { self.path };
        let path = path.split(|&byte| byte == b'?').next().unwrap_or_default();
        (!self.method.is_empty()).then(|| What::of(Class::Http, &[self.method, path]))
    }
}

impl What {
    fn of(class: Class, words: &[&[u8]]) -> Self {
        Self { class, name: FixedState::default().hash_one(words) }
    }
}

/// The path of a URL.
fn path_of(url: &[u8]) -> &[u8] {
    let scheme = url.windows(3).position(|piece| piece == b"://").map_or(0, |at| at + 3);
    let rest = &url[scheme..];
    rest.iter().position(|&byte| byte == b'/').map_or(b"/", |at| &rest[at..])
}

#[cfg(test)]
mod tests {
    use super::super::testing::span;
    use super::*;

    fn what(attributes: &[(&str, &str)]) -> Option<What> {
        Facts::read(&span(1, 1, 0).with(attributes).bytes()).expect("a span").what
    }

    #[test]
    fn old_and_new_names_mean_the_same() {
        let new = what(&[("http.request.method", "GET"), ("url.path", "/cart"), ("url.query", "a=b")]);
        assert!(new.is_some());
        assert_eq!(new, what(&[("http.method", "GET"), ("http.target", "/cart?a=b")]));
        assert_eq!(new, what(&[("http.request.method", "GET"), ("url.full", "http://shop:80/cart?a=b")]));
        assert_ne!(new, what(&[("http.request.method", "GET"), ("url.full", "http://shop:80")]));
        let new = what(&[("rpc.system.name", "grpc"), ("rpc.method", "shop.v1.Cart/Add")]);
        assert_eq!(new, what(&[("rpc.system", "grpc"), ("rpc.service", "shop.v1.Cart"), ("rpc.method", "Add")]));
        let new = what(&[("db.system.name", "postgresql"), ("db.query.text", "SELECT * FROM a")]);
        assert_eq!(new, what(&[("db.system", "postgresql"), ("db.operation", "select")]));
        assert_eq!(what(&[("net.peer.name", "x")]), None);
    }

    #[test]
    fn the_source_is_read() {
        let read = |attributes: &[(&str, &str)]| {
            let facts = Facts::read(&span(1, 1, 0).with(attributes).bytes()).expect("a span");
            (facts.source, facts.is_told(), facts.is_observed())
        };
        assert_eq!(read(&[]), (Source::Woven, false, false));
        assert_eq!(read(&[(SOURCE_ATTRIBUTE, "otlp")]), (Source::Otlp, true, false));
        assert_eq!(read(&[(SOURCE_ATTRIBUTE, "socket")]), (Source::Socket, false, true));
    }
}
