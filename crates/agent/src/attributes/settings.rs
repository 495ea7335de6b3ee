//! `attributes:` in `agent.yaml`.

use std::sync::atomic::AtomicU64;

use deliver::Signal;
use deliver::otlp::builder::any_value;
use model::Value;
use prost::Message;
use regex::bytes::RegexBuilder;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Action, Glob, Place, Rule, Rules};
use crate::settings::Problem;

/// Compiled patterns are no larger, bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// A rule: one of `drop`, `rename`, `set`, `insert`, `hash` and `redact`, and where it holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// Leave out attributes with such keys; `*` stands for any text, as in all lists of keys.
    #[schemars(with = "Option<Vec<String>>")]
    drop: Option<Spanned<Vec<String>>>,
    /// Give an attribute another key; where there is one of that key already, that stays.
    #[schemars(with = "Option<Rename>")]
    rename: Option<Spanned<Rename>>,
    /// Set an attribute, whether or not there is one of that key.
    #[schemars(with = "Option<Set>")]
    set: Option<Spanned<Set>>,
    /// Set an attribute where there is none of that key.
    #[schemars(with = "Option<Set>")]
    insert: Option<Spanned<Set>>,
    /// Replace values by their SHA-256, in hexadecimal digits.
    #[schemars(with = "Option<Hash>")]
    hash: Option<Spanned<Hash>>,
    /// Replace values, or what fits a pattern in them.
    #[schemars(with = "Option<Redact>")]
    redact: Option<Spanned<Redact>>,
    /// Only of these signals.
    signals: Option<Vec<SignalName>>,
    /// Only of services with such names.
    services: Option<Vec<String>>,
    /// Only attributes of these. Absent: of all; `set` and `insert`: of records; a pattern for all keys: log records' text, too.
    on: Option<Vec<PlaceName>>,
}

/// Another key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rename {
    /// The key as it is.
    from: String,
    /// The key as it shall be.
    to: String,
}

/// An attribute.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Its key.
    key: String,
    /// Its value.
    value: Scalar,
}

/// A value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

/// What is hashed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Hash {
    /// Keys of attributes.
    keys: Vec<String>,
    /// With it the hash is an HMAC: nobody finds out values by hashing what they may be.
    secret: Option<String>,
}

/// What is replaced.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Redact {
    /// Keys of attributes (default all, where there is a pattern).
    #[serde(default)]
    keys: Vec<String>,
    /// A regular expression; what fits it is replaced in all texts of a value. Absent: the whole value is.
    #[schemars(with = "Option<String>")]
    pattern: Option<Spanned<String>>,
    /// What stands there instead (default `****`); `$1` is what the pattern's first group has found.
    replacement: Option<String>,
}

/// A signal that has attributes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SignalName {
    Traces,
    Metrics,
    Logs,
}

/// What has attributes: a resource, an instrumentation scope, a record (span, log record, data point), an event or a link of a
/// span; `body` is the text of a log record.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum PlaceName {
    Resource,
    Scope,
    Record,
    Event,
    Link,
    Body,
}

/// All of them, in their order.
pub fn rules(settings: &[Spanned<RuleSettings>]) -> Result<Rules, Problem> {
    Ok(Rules { rules: settings.iter().map(rule).collect::<Result<_, _>>()? })
}

fn rule(settings: &Spanned<RuleSettings>) -> Result<Rule, Problem> {
    let RuleSettings { drop, rename, set, insert, hash, redact, signals, services, on } = &settings.value;
    let mut actions = Vec::new();
    if let Some(keys) = drop {
        actions.push(Action::Drop(globs(keys, &keys.value)?));
    }
    if let Some(rename) = rename {
        let Rename { from, to } = &rename.value;
        if from.is_empty() || to.is_empty() {
            return Err(Problem::at(rename, "from and to must not be empty"));
        }
        actions.push(Action::Rename { from: from.clone(), to: to.clone() });
    }
    for (set, only_where_absent) in [(set, false), (insert, true)] {
        let Some(set) = set else { continue };
        let Set { key, value } = &set.value;
        if key.is_empty() {
            return Err(Problem::at(set, "the key must not be empty"));
        }
        actions.push(Action::Set { key: key.clone(), value: encoded(value), only_where_absent });
    }
    if let Some(hash) = hash {
        let secret =
            hash.value.secret.as_ref().map(|secret| ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes()));
        actions.push(Action::Hash { keys: globs(hash, &hash.value.keys)?, secret });
    }
    if let Some(redact) = redact {
        actions.push(redaction(redact)?);
    }
    let count = actions.len();
    let (Some(action), 1) = (actions.pop(), count) else {
        let text =
            format!("{count} actions in one rule; there must be one of drop, rename, set, insert, hash and redact");
        return Err(Problem::at(settings, text));
    };
    let places = match (on, &action) {
        (Some(places), _) => places.iter().fold(0, |bits, place| bits | 1 << place.place() as u8),
        (None, Action::Set { .. }) => 1 << Place::Record as u8,
        (None, Action::Redact { keys, pattern: Some(_), .. }) if keys.contains(&Glob::new("*")) => !0,
        (None, _) => !(1 << Place::Body as u8),
    };
    let is_pattern = matches!(action, Action::Redact { pattern: Some(_), .. });
    if on.as_ref().is_some_and(|places| places.iter().any(|place| matches!(place, PlaceName::Body))) && !is_pattern {
        return Err(Problem::at(settings, "of the body, only what fits a pattern can be redacted"));
    }
    let signals = match signals {
        Some(signals) => signals.iter().fold(0, |bits, signal| bits | 1 << signal.signal() as u8),
        None => !0,
    };
    let services = services.iter().flatten().map(|name| Glob::new(name)).collect();
    Ok(Rule { action, signals, services, places, changed: AtomicU64::new(0) })
}

fn redaction(redact: &Spanned<Redact>) -> Result<Action, Problem> {
    let Redact { keys, pattern, replacement } = &redact.value;
    let compiled = pattern.as_ref().map(|pattern| {
        let built = RegexBuilder::new(&pattern.value).size_limit(PATTERN_BYTES).build();
        built.map_err(|error| {
            // The library draws the pattern above its last line.
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Problem::at(pattern, format!("{:?} is no regular expression: {last}", pattern.value))
        })
    });
    let keys = match (keys.is_empty(), pattern) {
        (true, Some(_)) => vec![Glob::new("*")],
        _ => globs(redact, keys)?,
    };
    let replacement = replacement.as_deref().unwrap_or("****").as_bytes().to_vec();
    Ok(Action::Redact { keys, pattern: compiled.transpose()?, replacement })
}

fn globs<T>(at: &Spanned<T>, keys: &[String]) -> Result<Vec<Glob>, Problem> {
    if keys.is_empty() || keys.iter().any(String::is_empty) {
        return Err(Problem::at(at, "there must be keys, none of them empty"));
    }
    Ok(keys.iter().map(|key| Glob::new(key)).collect())
}

fn encoded(value: &Scalar) -> Vec<u8> {
    any_value(&match value {
        Scalar::Bool(flag) => Value::Bool(*flag),
        Scalar::Int(number) => Value::Int(*number),
        Scalar::Float(number) => Value::Float(*number),
        Scalar::Text(text) => Value::String(text.clone()),
    })
    .encode_to_vec()
}

impl SignalName {
    fn signal(self) -> Signal {
        match self {
            Self::Traces => Signal::Traces,
            Self::Metrics => Signal::Metrics,
            Self::Logs => Signal::Logs,
        }
    }
}

impl PlaceName {
    fn place(self) -> Place {
        match self {
            Self::Resource => Place::Resource,
            Self::Scope => Place::Scope,
            Self::Record => Place::Record,
            Self::Event => Place::Event,
            Self::Link => Place::Link,
            Self::Body => Place::Body,
        }
    }
}
