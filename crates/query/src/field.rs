//! The keys that have a meaning of their own. Any other key is an attribute of the span or of its resource.

use record::layout::PARTS;

/// What a term is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `service`
    Service,
    /// `name`: of the span.
    Name,
    /// `route`: `http.route`.
    Route,
    /// `kind`
    Kind,
    /// `status`
    Status,
    /// `duration`: of the span.
    Duration,
    /// `scope`: name of the instrumentation scope.
    Scope,
    /// `source`: who told of the span.
    Source,
    /// `anatomy.<part>`: where the span's time went.
    Anatomy(String),
    /// `root`: name of the trace's root.
    Root,
    /// `trace.duration`
    TraceDuration,
    /// `trace.spans`: how many spans the trace has.
    TraceSpans,
    /// `trace.errors`: how many of them failed.
    TraceErrors,
    /// A bare word: the span's name or route.
    Text,
    /// Any other key.
    Attribute(String),
}

/// Which values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Text.
    Text,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A length of time.
    Duration,
    /// A whole number.
    Count,
    /// Text or number, whatever the program gave.
    Any,
}

/// A key that has a meaning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownField {
    /// The key.
    pub key: &'static str,
    /// What it is, in a few words.
    pub meaning: &'static str,
    /// Its values.
    pub kind: FieldKind,
}

const KINDS: FieldKind = FieldKind::Words(&["internal", "server", "client", "producer", "consumer"]);
const STATUSES: FieldKind = FieldKind::Words(&["error", "ok", "unset"]);
const SOURCES: FieldKind = FieldKind::Words(&["woven", "api", "otlp", "uprobe", "socket"]);

const fn known(key: &'static str, kind: FieldKind, meaning: &'static str) -> KnownField {
    KnownField { key, meaning, kind }
}

impl KnownField {
    /// All of them but the parts of the anatomy, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        known("service", FieldKind::Text, "service.name of the program"),
        known("name", FieldKind::Text, "the span's name"),
        known("route", FieldKind::Text, "http.route"),
        known("status", STATUSES, "the span's outcome"),
        known("duration", FieldKind::Duration, "how long the span took"),
        known("kind", KINDS, "the span's kind"),
        known("scope", FieldKind::Text, "the instrumentation scope"),
        known("source", SOURCES, "who told of the span"),
        known("root", FieldKind::Text, "the name of the trace's root"),
        known("trace.duration", FieldKind::Duration, "how long the trace took"),
        known("trace.spans", FieldKind::Count, "how many spans the trace has"),
        known("trace.errors", FieldKind::Count, "how many spans of the trace failed"),
    ];
}

/// Before the parts of the anatomy.
pub const ANATOMY: &str = "anatomy.";

impl Field {
    /// The field that a key stands for.
    pub fn of_key(key: &str) -> Self {
        match key {
            "service" | "service.name" => Self::Service,
            "name" => Self::Name,
            "route" => Self::Route,
            "kind" => Self::Kind,
            "status" => Self::Status,
            "duration" => Self::Duration,
            "scope" => Self::Scope,
            "source" => Self::Source,
            "root" => Self::Root,
            "trace.duration" => Self::TraceDuration,
            "trace.spans" => Self::TraceSpans,
            "trace.errors" => Self::TraceErrors,
            // As spans have it, too.
            _ => match key.trim_start_matches("tandem.").strip_prefix(ANATOMY).filter(|part| PARTS.contains(part)) {
                Some(part) => Self::Anatomy(part.to_owned()),
                None => Self::Attribute(key.to_owned()),
            },
        }
    }

    /// Its key, but for text, which has none.
    pub fn key(&self) -> String {
        let key = match self {
            Self::Service => "service",
            Self::Name => "name",
            Self::Route => "route",
            Self::Kind => "kind",
            Self::Status => "status",
            Self::Duration => "duration",
            Self::Scope => "scope",
            Self::Source => "source",
            Self::Root => "root",
            Self::TraceDuration => "trace.duration",
            Self::TraceSpans => "trace.spans",
            Self::TraceErrors => "trace.errors",
            Self::Text => "",
            Self::Anatomy(part) => return format!("{ANATOMY}{part}"),
            Self::Attribute(key) => key,
        };
        key.to_owned()
    }

    /// Its values.
    pub fn kind(&self) -> FieldKind {
        match self {
            Self::Anatomy(_) => FieldKind::Duration,
            Self::Attribute(_) => FieldKind::Any,
            Self::Text => FieldKind::Text,
            _ => {
                let key = self.key();
                KnownField::ALL.iter().find(|known| known.key == key).map_or(FieldKind::Any, |known| known.kind)
            }
        }
    }

    /// Whether some spans have none, so that it can be asked for.
    pub fn may_be_absent(&self) -> bool {
        matches!(self, Self::Attribute(_) | Self::Anatomy(_) | Self::Route | Self::Scope)
    }
}

/// The keys that are known, those of the anatomy included.
pub fn known_keys() -> impl Iterator<Item = String> {
    let parts = PARTS.iter().map(|part| format!("{ANATOMY}{part}"));
    KnownField::ALL.iter().map(|known| known.key.to_owned()).chain(parts)
}

/// The known key that somebody may have meant who wrote one that is not known.
pub fn nearest_key(key: &str) -> Option<String> {
    // An attribute of the program's own has a name of its own; what is one slip away from a known key is a slip.
    let slips = if key.len() <= 5 { 1 } else { 2 };
    let distances = known_keys().map(|known| (strsim::damerau_levenshtein(key, &known), known));
    distances.filter(|(distance, _)| (1..=slips).contains(distance)).min().map(|(_, known)| known)
}

/// The word that somebody may have meant.
pub fn nearest_word(word: &str, words: &[impl AsRef<str>]) -> Option<String> {
    let word = word.to_lowercase();
    let distances = words.iter().map(|known| (strsim::damerau_levenshtein(&word, known.as_ref()), known.as_ref()));
    distances.filter(|(distance, _)| *distance <= 2).min().map(|(_, known)| known.to_owned())
}
