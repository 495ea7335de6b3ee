//! Telemetry as it leaves the agent: spans, resources, anatomy, and their JSON form.
//!
//! These are the words that `store`, `ui` and the command line share. The hot path from ring to OTLP bytes does not
//! build them; they are made where a person or a script reads. Times are integers: nanoseconds since 1970 for moments,
//! nanoseconds for durations.

mod metric;
mod pattern;
mod profile;
mod tree;
mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use metric::{MetricFigures, MetricKind, MetricNumber, MetricPoint, MetricSeries, MetricValue, quantile};
pub use pattern::{BadPattern, FunctionPattern, wildcard};
pub use profile::{Frame, Location, ProfileKind, ProfileSample, ServiceSample};
pub use tree::{Node, Placed, Row, Tree};
pub use units::{format_duration, parse_duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A trace id, as on the wire; written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TraceId(pub [u8; 16]);

/// A span id, as on the wire; written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SpanId(pub [u8; 8]);

macro_rules! hex_id {
    ($name:ident, $bytes:literal) => {
        impl $name {
            /// True for the id of all zeros, which means "none".
            pub fn is_zero(self) -> bool {
                self.0 == [0; $bytes]
            }

            /// Reads hexadecimal digits, exactly as many as the id has.
            pub fn parse(text: &str) -> Option<Self> {
                if text.len() != 2 * $bytes || !text.is_ascii() {
                    return None;
                }
                let mut id = [0; $bytes];
                for (index, byte) in id.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
                }
                Some(Self(id))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("not an id: {text:?}")))
            }
        }
    };
}

hex_id!(TraceId, 16);
hex_id!(SpanId, 8);

/// Kind of a span, as in OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Inside the program.
    #[default]
    Internal,
    /// Answers a request.
    Server,
    /// Makes a request and waits for the answer.
    Client,
    /// Hands over a message.
    Producer,
    /// Takes a message.
    Consumer,
}

impl Kind {
    /// As queries and scripts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// OTLP's number (1 to 5); unknown ones are internal.
    pub fn from_otlp(number: i32) -> Self {
        match number {
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Internal,
        }
    }
}

/// Outcome of a span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Status {
    /// The code.
    pub code: StatusCode,
    /// Explanation of an error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Code of a status, as in OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum StatusCode {
    /// Nobody said anything.
    #[default]
    Unset,
    /// Said to be right.
    Ok,
    /// Failed.
    Error,
}

impl StatusCode {
    /// As queries and scripts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// Floating-point number.
    Float(f64),
    /// Text.
    String(String),
    /// Several values.
    Array(Vec<Value>),
    /// Values by name.
    Map(BTreeMap<String, Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Int(value) => write!(formatter, "{value}"),
            Self::Float(value) => write!(formatter, "{value}"),
            Self::String(value) => formatter.write_str(value),
            Self::Array(values) => formatter.debug_list().entries(values.iter().map(ToString::to_string)).finish(),
            Self::Map(values) => {
                formatter.debug_map().entries(values.iter().map(|(key, value)| (key, value.to_string()))).finish()
            }
        }
    }
}

/// Attributes by key, sorted.
pub type Attributes = BTreeMap<String, Value>;

/// What sends telemetry: a process, by its resource attributes (`service.name` and so on).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
pub struct Resource {
    /// Attributes of OpenTelemetry's resource conventions.
    pub attributes: Attributes,
}

impl Resource {
    /// `service.name`, or what the conventions say when nobody gave one.
    pub fn service(&self) -> &str {
        match self.attributes.get("service.name") {
            Some(Value::String(name)) => name,
            _ => "unknown_service",
        }
    }
}

/// Where a span comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A join point woven into the program.
    #[default]
    Woven,
    /// The OpenTelemetry API, called by hand.
    Api,
    /// Received as OTLP.
    Otlp,
    /// A probe on a function of a program that was not rebuilt.
    Uprobe,
    /// Traffic on a socket.
    Socket,
}

impl Source {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Woven, Self::Api, Self::Otlp, Self::Uprobe, Self::Socket];

    /// As [`SOURCE_ATTRIBUTE`] and scripts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Woven => "woven",
            Self::Api => "api",
            Self::Otlp => "otlp",
            Self::Uprobe => "uprobe",
            Self::Socket => "socket",
        }
    }

    /// The one that is called so.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name().as_bytes() == name)
    }

    /// Its spans are seen from outside of the program.
    pub fn is_observed(self) -> bool {
        matches!(self, Self::Uprobe | Self::Socket)
    }
}

/// Something that happened at a moment inside a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Name.
    pub name: String,
    /// When, ns since 1970.
    pub time_unix_nano: u64,
    /// Attributes.
    #[serde(default)]
    pub attributes: Attributes,
}

/// Another span that this one has to do with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Its trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// W3C `tracestate` of that span.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_state: String,
    /// Flags of that span as OTLP has them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flags: u32,
    /// What is said of the link.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

/// Where a span's wall time went. A part that was not measured is absent, not 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Anatomy {
    /// Wall time, ns.
    pub wall_ns: u64,
    /// Time by part, ns; names as in `record::layout::PARTS`.
    pub parts_ns: BTreeMap<String, u64>,
}

/// Attribute name of a part: `tandem.anatomy.run_queue`.
pub const ANATOMY_PREFIX: &str = "tandem.anatomy.";
/// Before the names of spans that were folded, in the attributes of their parent: `tandem.folded.SELECT.count`, `….duration`.
pub const FOLDED_PREFIX: &str = "tandem.folded.";
/// Attribute that says where a span comes from ([`Source`]); absent for woven ones.
pub const SOURCE_ATTRIBUTE: &str = "tandem.source";
/// Attribute that says how the parent of a span was found that nobody handed a context to (docs/unwoven.md, docs/sockets.md).
pub const PARENT_SOURCE_ATTRIBUTE: &str = "tandem.parent.source";
/// Attribute (true) of a span whose program ended before it did.
pub const UNFINISHED_ATTRIBUTE: &str = "tandem.unfinished";

/// A span, in the form that people and scripts see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// Its parent; absent for a root.
    pub parent_span_id: Option<SpanId>,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: Kind,
    /// `service.name` of its resource.
    pub service: String,
    /// W3C tracestate, as it came.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_state: String,
    /// W3C trace flags in the low byte (1: sampled), and what OTLP has beside them: 0x100 says that 0x200, the parent is
    /// remote, is known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flags: u32,
    /// Start, ns since 1970.
    pub start_unix_nano: u64,
    /// Duration, ns.
    pub duration_ns: u64,
    /// Outcome.
    pub status: Status,
    /// Attributes, without those of the anatomy.
    pub attributes: Attributes,
    /// Events.
    pub events: Vec<Event>,
    /// Links.
    pub links: Vec<Link>,
    /// Anatomy, where measured.
    pub anatomy: Option<Anatomy>,
    /// Where it comes from.
    pub source: Source,
    /// The program ended before the span did; its duration is what had passed when that was noticed.
    pub unfinished: bool,
    /// Instrumentation scope (`tandem/net/http`).
    #[serde(default)]
    pub scope: String,
    /// The whole resource; not part of the JSON line of a span.
    #[serde(skip)]
    pub resource: Arc<Resource>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A log record, in the form that people and scripts see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When it was written, ns since 1970.
    pub time_unix_nano: u64,
    /// When Tandem saw it, ns since 1970.
    pub observed_unix_nano: u64,
    /// Severity as OTLP numbers it (1 to 24); 0: none.
    pub severity_number: u8,
    /// Its name in the library that wrote the record.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub severity_text: String,
    /// Name of the event that it is; empty: it is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event_name: String,
    /// What was written.
    pub body: Value,
    /// Attributes; those in groups with the groups' names and dots before their own.
    pub attributes: Attributes,
    /// The trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// The span it was written in.
    pub span_id: Option<SpanId>,
    /// W3C trace flags of the span: 1 says that its trace is sampled.
    #[serde(default)]
    pub trace_flags: u8,
    /// `service.name` of its resource.
    pub service: String,
    /// Instrumentation scope (`tandem/log/slog`).
    #[serde(default)]
    pub scope: String,
    /// The whole resource; not part of the JSON line of a record.
    #[serde(skip)]
    pub resource: Arc<Resource>,
}

/// A trace in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// Id.
    pub trace_id: TraceId,
    /// Name of the root span, or of the earliest one while the root is missing.
    pub root: String,
    /// Services it passes through, sorted.
    pub services: Vec<String>,
    /// Spans.
    pub span_count: u64,
    /// Spans with an error.
    pub error_count: u64,
    /// Start, ns since 1970.
    pub start_unix_nano: u64,
    /// From the first start to the last end, ns.
    pub duration_ns: u64,
}
