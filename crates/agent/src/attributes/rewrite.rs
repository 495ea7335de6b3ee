//! Changes attributes in the bytes of a request. Messages without any that a rule is about are copied whole; a request without
//! such messages is not copied at all.

use std::borrow::Cow;
use std::fmt::Write as _;

use deliver::Signal;
use deliver::otlp::encode::varint;
use deliver::otlp::walk::{self, AnyValue, Attribute, Field, Malformed, RESOURCE_ATTRIBUTES, Whole};
use regex::bytes::Regex;

use super::{Action, Place, Rule, any_fits};

/// Values in values; in deeper ones nothing is looked for, and none come in from outside.
const DEEPEST: usize = 64;

/// Where a message of a request has attributes, and which of its fields are messages that have some.
struct Shape {
    place: Place,
    /// Number of the field; 0: none.
    attributes: u64,
    inner: &'static [(u64, &'static Shape)],
    /// A value that is looked into as it is.
    body: u64,
}

const fn shape(place: Place, attributes: u64, inner: &'static [(u64, &'static Shape)]) -> Shape {
    Shape { place, attributes, inner, body: 0 }
}

static RESOURCE: Shape = shape(Place::Resource, 1, &[]);
static SCOPE: Shape = shape(Place::Scope, 3, &[]);
static SPAN_GROUP: Shape = shape(Place::Record, 0, &[(1, &RESOURCE), (2, &SPAN_SCOPE)]);
static SPAN_SCOPE: Shape = shape(Place::Record, 0, &[(1, &SCOPE), (2, &SPAN)]);
static SPAN: Shape = shape(Place::Record, 9, &[(11, &EVENT), (13, &LINK)]);
static EVENT: Shape = shape(Place::Event, 3, &[]);
static LINK: Shape = shape(Place::Link, 4, &[]);
static LOG_GROUP: Shape = shape(Place::Record, 0, &[(1, &RESOURCE), (2, &LOG_SCOPE)]);
static LOG_SCOPE: Shape = shape(Place::Record, 0, &[(1, &SCOPE), (2, &LOG)]);
static LOG: Shape = Shape { place: Place::Record, attributes: 6, inner: &[], body: 5 };
static METRIC_GROUP: Shape = shape(Place::Record, 0, &[(1, &RESOURCE), (2, &METRIC_SCOPE)]);
static METRIC_SCOPE: Shape = shape(Place::Record, 0, &[(1, &SCOPE), (2, &METRIC)]);
static METRIC: Shape =
    shape(Place::Record, 0, &[(5, &NUMBERS), (7, &NUMBERS), (9, &HISTOGRAM), (10, &EXPONENTIAL), (11, &SUMMARY)]);
static NUMBERS: Shape = shape(Place::Record, 0, &[(1, &NUMBER_POINT)]);
static HISTOGRAM: Shape = shape(Place::Record, 0, &[(1, &HISTOGRAM_POINT)]);
static EXPONENTIAL: Shape = shape(Place::Record, 0, &[(1, &EXPONENTIAL_POINT)]);
static SUMMARY: Shape = shape(Place::Record, 0, &[(1, &SUMMARY_POINT)]);
static NUMBER_POINT: Shape = shape(Place::Record, 7, &[(5, &EXEMPLAR)]);
static HISTOGRAM_POINT: Shape = shape(Place::Record, 9, &[(8, &EXEMPLAR)]);
static EXPONENTIAL_POINT: Shape = shape(Place::Record, 1, &[(11, &EXEMPLAR)]);
static SUMMARY_POINT: Shape = shape(Place::Record, 7, &[]);
static EXEMPLAR: Shape = shape(Place::Record, 7, &[]);

/// A request as the rules leave it; `None`: as it is.
pub fn request(rules: &[&Rule], signal: Signal, bytes: &[u8]) -> Option<Vec<u8>> {
    let group = match signal {
        Signal::Traces => &SPAN_GROUP,
        Signal::Logs => &LOG_GROUP,
        Signal::Metrics => &METRIC_GROUP,
        Signal::Profiles => return None,
    };
    let mut out = Copy::new(bytes);
    // What is malformed was made so by nobody here, and is refused by whoever reads it next.
    let rewritten = out.each_field(|field, out| {
        if let (1, Field::Bytes(message)) = field {
            let of_service = of_service(rules, message)?;
            let mut inner = Copy::new(message);
            if !of_service.is_empty() && rewrite(&of_service, group, &mut inner)? {
                out.replace(1, &inner.finish());
            }
        }
        Ok(())
    });
    (rewritten.is_ok() && out.is_changed).then(|| out.finish())
}

/// The rules that hold for the service of a group.
fn of_service<'r>(rules: &[&'r Rule], group: &[u8]) -> Result<Vec<&'r Rule>, Malformed> {
    if rules.iter().all(|rule| rule.services.is_empty()) {
        return Ok(rules.to_vec());
    }
    let resource = walk::bytes_field(group, 1)?;
    let name = match walk::attribute(resource, RESOURCE_ATTRIBUTES, "service.name")? {
        Some(AnyValue::String(name)) => name,
        _ => b"unknown_service",
    };
    let holds = |rule: &&&Rule| rule.services.is_empty() || any_fits(&rule.services, name);
    Ok(rules.iter().filter(holds).copied().collect())
}

/// A message that is copied as far as it changes.
struct Copy<'a> {
    message: &'a [u8],
    out: Vec<u8>,
    /// So far the message has been copied, or left out.
    copied: usize,
    /// The field that is being looked at.
    begin: usize,
    end: usize,
    is_changed: bool,
}

impl<'a> Copy<'a> {
    fn new(message: &'a [u8]) -> Self {
        Self { message, out: Vec::new(), copied: 0, begin: 0, end: 0, is_changed: false }
    }

    fn each_field(
        &mut self,
        mut each: impl FnMut((u64, Field<'a>), &mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        for (number, field, whole) in Whole::of(self.message) {
            let field = field?;
            (self.begin, self.end) = (self.end, self.end + whole.len());
            each((number, field), self)?;
        }
        Ok(())
    }

    /// Leaves the field out.
    fn leave_out(&mut self) {
        self.out.extend_from_slice(&self.message[self.copied..self.begin]);
        self.copied = self.end;
        self.is_changed = true;
    }

    /// Puts other bytes in its place.
    fn replace(&mut self, number: u64, bytes: &[u8]) {
        self.leave_out();
        field(&mut self.out, number, bytes);
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&self.message[self.copied..]);
        self.out
    }
}

/// A field with bytes.
fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Applies the rules to a message and to those in it. Whether anything has changed.
fn rewrite(rules: &[&Rule], shape: &Shape, out: &mut Copy<'_>) -> Result<bool, Malformed> {
    let is_about = shape.attributes != 0 && concerns(rules, shape, out.message)?;
    let mut attributes = if is_about { read(shape, out.message)? } else { Vec::new() };
    out.each_field(|(number, value), out| {
        let Field::Bytes(bytes) = value else { return Ok(()) };
        if is_about && number == shape.attributes {
            // All of them come anew at the end, but for what has no value.
            if Attribute::read(bytes)?.is_some() {
                out.leave_out();
            }
        } else if number == shape.body && shape.body != 0 {
            let mut body = Cow::Borrowed(bytes);
            for rule in rules.iter().filter(|rule| rule.is_on(Place::Body)) {
                if let Action::Redact { pattern: Some(pattern), replacement, .. } = &rule.action
                    && let Some(redacted) = redacted(&body, pattern, replacement, 0)?
                {
                    body = Cow::Owned(redacted);
                    rule.count();
                }
            }
            if let Cow::Owned(body) = body {
                out.replace(number, &body);
            }
        } else if let Some((_, inner)) = shape.inner.iter().find(|(known, _)| *known == number) {
            let mut copy = Copy::new(bytes);
            if rewrite(rules, inner, &mut copy)? {
                out.replace(number, &copy.finish());
            }
        }
        Ok(())
    })?;
    if is_about {
        for rule in rules.iter().filter(|rule| rule.is_on(shape.place)) {
            apply(rule, &mut attributes)?;
        }
        // Behind what has not been copied yet.
        out.out.extend_from_slice(&out.message[out.copied..]);
        out.copied = out.message.len();
        out.is_changed = true;
        let mut key_value = Vec::new();
        for (key, value) in &attributes {
            key_value.clear();
            field(&mut key_value, 1, key);
            field(&mut key_value, 2, value);
            field(&mut out.out, shape.attributes, &key_value);
        }
    }
    Ok(out.is_changed)
}

/// Whether any rule would change an attribute of a message.
fn concerns(rules: &[&Rule], shape: &Shape, message: &[u8]) -> Result<bool, Malformed> {
    for rule in rules.iter().filter(|rule| rule.is_on(shape.place)) {
        let mut is_there = false;
        let mut concerns = false;
        let here = walk::attributes(message, shape.attributes);
        for attribute in here {
            let Attribute { key, value } = attribute?;
            match &rule.action {
                Action::Drop(keys) | Action::Hash { keys, .. } | Action::Redact { keys, pattern: None, .. } => {
                    concerns |= any_fits(keys, key);
                }
                Action::Redact { keys, pattern: Some(pattern), replacement } => {
                    concerns |= any_fits(keys, key) && redacted(value, pattern, replacement, 0)?.is_some();
                }
                Action::Rename { from, .. } => concerns |= key == from.as_bytes(),
                Action::Set { key: own, .. } => is_there |= key == own.as_bytes(),
            }
        }
        if let Action::Set { only_where_absent, .. } = rule.action {
            concerns = !(only_where_absent && is_there);
        }
        if concerns {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Key and value.
type KeyValue<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

fn read<'a>(shape: &Shape, message: &'a [u8]) -> Result<Vec<KeyValue<'a>>, Malformed> {
    let all = walk::attributes(message, shape.attributes);
    all.map(|attribute| attribute.map(|Attribute { key, value }| (key.into(), value.into()))).collect()
}

fn apply<'a>(rule: &'a Rule, attributes: &mut Vec<KeyValue<'a>>) -> Result<(), Malformed> {
    match &rule.action {
        Action::Drop(keys) => attributes.retain(|(key, _)| {
            let stays = !any_fits(keys, key);
            if !stays {
                rule.count();
            }
            stays
        }),
        Action::Rename { from, to } => {
            let is_taken = attributes.iter().any(|(key, _)| **key == *to.as_bytes());
            attributes.retain_mut(|(key, _)| {
                let is_it = **key == *from.as_bytes();
                if is_it {
                    *key = Cow::Borrowed(to.as_bytes());
                    rule.count();
                }
                !(is_it && is_taken)
            });
        }
        Action::Set { key: own, value, only_where_absent } => {
            let is_there = attributes.iter().any(|(key, _)| **key == *own.as_bytes());
            if !(is_there && *only_where_absent) {
                attributes.retain(|(key, _)| **key != *own.as_bytes());
                attributes.push((own.as_bytes().into(), value.as_slice().into()));
                rule.count();
            }
        }
        Action::Hash { keys, secret } => {
            for (_, value) in attributes.iter_mut().filter(|(key, _)| any_fits(keys, key)) {
                *value = Cow::Owned(hashed(value, secret.as_ref())?);
                rule.count();
            }
        }
        Action::Redact { keys, pattern, replacement } => {
            for (_, value) in attributes.iter_mut().filter(|(key, _)| any_fits(keys, key)) {
                let redacted = match pattern {
                    Some(pattern) => redacted(value, pattern, replacement, 0)?,
                    None => Some(text_value(replacement)),
                };
                if let Some(redacted) = redacted {
                    *value = Cow::Owned(redacted);
                    rule.count();
                }
            }
        }
    }
    Ok(())
}

/// An `AnyValue` with this text.
fn text_value(text: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    field(&mut value, 1, text);
    value
}

/// A value's hash, as text.
fn hashed(value: &[u8], secret: Option<&ring::hmac::Key>) -> Result<Vec<u8>, Malformed> {
    let plain: Cow<'_, [u8]> = match AnyValue::read(value)? {
        AnyValue::String(bytes) | AnyValue::Bytes(bytes) | AnyValue::Array(bytes) | AnyValue::Map(bytes) => {
            bytes.into()
        }
        AnyValue::Bool(flag) => flag.to_string().into_bytes().into(),
        AnyValue::Int(number) => number.to_string().into_bytes().into(),
        AnyValue::Double(number) => number.to_string().into_bytes().into(),
        AnyValue::Empty => (&[][..]).into(),
    };
    let mut digits = String::with_capacity(64);
    let mut write = |hash: &[u8]| {
        for byte in hash {
            let _ = write!(digits, "{byte:02x}"); // memory takes it
        }
    };
    match secret {
        Some(secret) => write(ring::hmac::sign(secret, &plain).as_ref()),
        None => write(ring::digest::digest(&ring::digest::SHA256, &plain).as_ref()),
    }
    Ok(text_value(digits.as_bytes()))
}

/// An `AnyValue` without what fits the pattern in its texts; `None`: nothing does.
fn redacted(value: &[u8], pattern: &Regex, replacement: &[u8], depth: usize) -> Result<Option<Vec<u8>>, Malformed> {
    if depth > DEEPEST {
        return Ok(None);
    }
    let mut out = Copy::new(value);
    out.each_field(|field, out| {
        match field {
            // A match of nothing at all is none.
            (1, Field::Bytes(text)) if pattern.find_iter(text).any(|found| !found.is_empty()) => {
                out.replace(1, &pattern.replace_all(text, replacement));
            }
            (number @ (5 | 6), Field::Bytes(list)) => {
                let mut inner = Copy::new(list);
                inner.each_field(|field, inner| {
                    match field {
                        (1, Field::Bytes(element)) if number == 5 => {
                            if let Some(element) = redacted(element, pattern, replacement, depth + 1)? {
                                inner.replace(1, &element);
                            }
                        }
                        (1, Field::Bytes(entry)) => {
                            let mut copy = Copy::new(entry);
                            copy.each_field(|field, copy| {
                                if let (2, Field::Bytes(value)) = field
                                    && let Some(value) = redacted(value, pattern, replacement, depth + 1)?
                                {
                                    copy.replace(2, &value);
                                }
                                Ok(())
                            })?;
                            if copy.is_changed {
                                inner.replace(1, &copy.finish());
                            }
                        }
                        _ => {}
                    }
                    Ok(())
                })?;
                if inner.is_changed {
                    out.replace(number, &inner.finish());
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(out.is_changed.then(|| out.finish()))
}
