//! Templates of span names: `{http.request.method} {http.route}|{http.request.method}`.
//!
//! Alternatives are separated by `|`; the first whose keys all have values is used. Text outside braces stands for
//! itself.

use std::fmt::Write;

use record::Value;

/// A template, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    alternatives: Vec<Vec<Segment>>,
    /// Keys that are referred to, a bit each; bit 63 for all from 63 on.
    keys: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    Key(u16),
}

impl Template {
    /// Takes a template apart; `key` knows the number of a key. A key that nobody knows never has a value.
    pub fn parse(template: &str, mut key: impl FnMut(&str) -> Option<u16>) -> Self {
        let alternatives = template.split('|').filter(|alternative| !alternative.is_empty());
        let alternatives: Vec<_> = alternatives.filter_map(|alternative| segments(alternative, &mut key)).collect();
        let keys = alternatives.iter().flatten().fold(0, |keys, segment| match segment {
            Segment::Key(key) => keys | bit(*key),
            Segment::Text(_) => keys,
        });
        Self { alternatives, keys }
    }

    /// There is no alternative that could ever be used.
    pub fn is_empty(&self) -> bool {
        self.alternatives.is_empty()
    }

    /// Whether the template refers to a key.
    #[inline]
    pub fn uses(&self, key: u16) -> bool {
        let perhaps = self.keys & bit(key) != 0;
        perhaps && (key < 63 || self.alternatives.iter().flatten().any(|segment| *segment == Segment::Key(key)))
    }

    /// Writes the name into `out`; `false` when no alternative has all its values.
    pub fn render<'a>(&self, out: &mut String, value: impl Fn(u16) -> Option<Value<'a>>) -> bool {
        'alternatives: for alternative in &self.alternatives {
            out.clear();
            for segment in alternative {
                match segment {
                    Segment::Text(text) => out.push_str(text),
                    Segment::Key(key) => match value(*key) {
                        Some(value) => write(out, value),
                        None => continue 'alternatives,
                    },
                }
            }
            return true;
        }
        out.clear();
        false
    }
}

#[inline]
fn bit(key: u16) -> u64 {
    1 << key.min(63)
}

fn segments(alternative: &str, key: &mut impl FnMut(&str) -> Option<u16>) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut rest = alternative;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        if !text.is_empty() {
            segments.push(Segment::Text(text.to_owned()));
        }
        segments.push(Segment::Key(key(name)?));
        rest = after;
    }
    if !rest.is_empty() {
        segments.push(Segment::Text(rest.to_owned()));
    }
    Some(segments)
}

fn write(out: &mut String, value: Value<'_>) {
    match value {
        Value::String(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => out.push_str(text),
            Err(_) => out.push_str(&String::from_utf8_lossy(bytes)),
        },
        // Writing to a string cannot fail.
        Value::Int(number) => drop(write!(out, "{number}")),
        Value::Float(number) => drop(write!(out, "{number}")),
        Value::Bool(flag) => drop(write!(out, "{flag}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Option<u16> {
        match name {
            "method" => Some(1),
            "route" => Some(2),
            _ => None,
        }
    }

    fn render(template: &str, values: &[(u16, Value<'static>)]) -> Option<String> {
        let mut out = String::new();
        let value = |wanted| values.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        Template::parse(template, key).render(&mut out, value).then_some(out)
    }

    /// The first alternative that has all its values wins; without one there is no name.
    #[test]
    fn the_first_complete_alternative_wins() {
        let method = (1, Value::String(b"GET"));
        let template = "{method} {route}|{method}";
        assert_eq!(render(template, &[method, (2, Value::String(b"/a/{id}"))]).as_deref(), Some("GET /a/{id}"));
        assert_eq!(render(template, &[method]).as_deref(), Some("GET"));
        assert_eq!(render(template, &[]), None);
        assert_eq!(render("{unknown}|fixed {method}", &[method]).as_deref(), Some("fixed GET"));
        assert_eq!(render("plain", &[]).as_deref(), Some("plain"));
        assert_eq!(render("", &[]), None);
        assert_eq!(render("{method", &[method]), None);
        assert_eq!(render("{method}", &[(1, Value::Int(-3))]).as_deref(), Some("-3"));
    }
}
