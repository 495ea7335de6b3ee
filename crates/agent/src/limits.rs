//! What a span may hold, by OpenTelemetry's environment variables of the program that made it. The program says what they
//! are in its memory's resource text; they are kept here, where the program's time is not spent.
//!
//! Metrics are not limited, and neither is the anatomy, which is no attribute that somebody set.

use record::{Item, Value};

/// Default of every count.
const COUNT: u32 = 128;

/// The limits of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Characters of a text.
    text: Option<usize>,
    attributes: u32,
    events: u32,
    links: u32,
    event_attributes: u32,
    link_attributes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text: None,
            attributes: COUNT,
            events: COUNT,
            links: COUNT,
            event_attributes: COUNT,
            link_attributes: COUNT,
        }
    }
}

impl Limits {
    /// From `NAME=value` lines. What is not a number counts as not set; the program has said so to its user.
    pub fn parse(text: &str) -> Self {
        let number = |names: &[&str]| {
            names.iter().find_map(|name| {
                text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')?.parse::<u32>().ok())
            })
        };
        let attributes = "OTEL_ATTRIBUTE_COUNT_LIMIT";
        Self {
            text: number(&["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"])
                .map(|characters| characters as usize),
            attributes: number(&["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", attributes]).unwrap_or(COUNT),
            events: number(&["OTEL_SPAN_EVENT_COUNT_LIMIT"]).unwrap_or(COUNT),
            links: number(&["OTEL_SPAN_LINK_COUNT_LIMIT"]).unwrap_or(COUNT),
            event_attributes: number(&["OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", attributes]).unwrap_or(COUNT),
            link_attributes: number(&["OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", attributes]).unwrap_or(COUNT),
        }
    }

    /// For a new span.
    pub fn budget(self) -> Budget {
        Budget { left: self, inside: Inside::Span, inner_attributes: 0, dropped: [0; 3], inner_dropped: 0 }
    }
}

/// What one span may still have.
#[derive(Debug)]
pub struct Budget {
    left: Limits,
    inside: Inside,
    /// Left of those of the event or link that is open.
    inner_attributes: u32,
    /// Attributes, events and links that were left out.
    pub dropped: [u32; 3],
    /// Attributes of the event or link that is open, or was last, that were left out.
    pub inner_dropped: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Span,
    /// An event or a link.
    Inner,
    /// One that is left out, with all it has.
    Dropped,
}

impl Budget {
    /// The item as the limits let it pass; `None`: not at all.
    #[inline]
    pub fn admit<'a>(&mut self, item: Item<'a>) -> Option<Item<'a>> {
        match item {
            Item::Attribute(key, value) => self.admit_attribute(value).map(|value| Item::Attribute(key, value)),
            Item::AnyAttribute(..) => self.takes_attribute().then_some(item), // whose length the program has bounded itself
            Item::Event(..) | Item::NamedEvent(..) => {
                let admitted = take(&mut self.left.events, &mut self.dropped[1]);
                self.enter(admitted, self.left.event_attributes).then_some(item)
            }
            Item::OpenLink { .. } => {
                let admitted = take(&mut self.left.links, &mut self.dropped[2]);
                self.enter(admitted, self.left.link_attributes).then_some(item)
            }
            Item::EventEnd => {
                let was = std::mem::replace(&mut self.inside, Inside::Span);
                (was != Inside::Dropped).then_some(item)
            }
            Item::Link(..) => take(&mut self.left.links, &mut self.dropped[2]).then_some(item),
            Item::Name(_)
            | Item::StatusMessage(_)
            | Item::Tracestate(_)
            | Item::Part(..)
            | Item::Start(_)
            | Item::End(_)
            | Item::Dropped { .. } => Some(item),
        }
    }

    /// The value of an attribute as the limits let it pass; `None`: not at all.
    #[inline]
    pub fn admit_attribute<'a>(&mut self, value: Value<'a>) -> Option<Value<'a>> {
        if !self.takes_attribute() {
            return None;
        }
        match (value, self.left.text) {
            (Value::String(text), Some(limit)) if text.len() > limit => {
                Some(Value::String(&text[..end_of(text, limit)]))
            }
            _ => Some(value),
        }
    }

    #[inline]
    fn takes_attribute(&mut self) -> bool {
        let left = match self.inside {
            Inside::Span => &mut self.left.attributes,
            Inside::Inner => &mut self.inner_attributes,
            Inside::Dropped => return false,
        };
        let some = *left > 0;
        *left -= u32::from(some);
        let dropped = if self.inside == Inside::Span { &mut self.dropped[0] } else { &mut self.inner_dropped };
        *dropped += u32::from(!some);
        some
    }

    /// What follows, until its end, belongs to an event or a link, or to none.
    fn enter(&mut self, admitted: bool, attributes: u32) -> bool {
        self.inside = if admitted { Inside::Inner } else { Inside::Dropped };
        self.inner_attributes = attributes;
        self.inner_dropped = 0;
        admitted
    }
}

fn take(left: &mut u32, dropped: &mut u32) -> bool {
    let some = *left > 0;
    *left -= u32::from(some);
    *dropped += u32::from(!some);
    some
}

/// Where the first so many characters end. What is not UTF-8 becomes characters by the rule that it is shown by.
fn end_of(text: &[u8], characters: usize) -> usize {
    let (mut at, mut left) = (0, characters);
    for chunk in text.utf8_chunks() {
        if let Some((end, _)) = chunk.valid().char_indices().nth(left) {
            return at + end;
        }
        left -= chunk.valid().chars().count();
        at += chunk.valid().len();
        if left == 0 {
            return at;
        }
        left -= usize::from(!chunk.invalid().is_empty());
        at += chunk.invalid().len();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::MonotonicNanos;

    /// The span's own variable comes first, then the general one, then the default.
    #[test]
    fn the_closest_variable_counts() {
        let text = "OTEL_ATTRIBUTE_COUNT_LIMIT=7\nOTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=3\nOTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=0\n\
                    OTEL_SPAN_LINK_COUNT_LIMIT=many\nOTEL_SPAN_EVENT_COUNT_LIMIT=-1\nOTEL_SERVICE_NAME=x\n";
        let limits = Limits::parse(text);
        assert_eq!(
            limits,
            Limits { text: Some(0), attributes: 3, event_attributes: 7, link_attributes: 7, ..Limits::default() }
        );
        assert_eq!(Limits::parse(""), Limits::default());
    }

    /// Characters, not bytes; what is not UTF-8 is one for each character that it is shown as.
    #[test]
    fn text_is_cut_between_characters() {
        let long = [b"\xf0\x9f\x98", "äöü".as_bytes(), b"\xff\xfe", b"ab"].concat();
        let whole = String::from_utf8_lossy(&long).into_owned();
        for limit in 0..12 {
            let cut = &long[..end_of(&long, limit)];
            assert_eq!(String::from_utf8_lossy(cut), whole.chars().take(limit).collect::<String>(), "{limit}");
        }
    }

    /// What is beyond a limit is counted and left out, an event with all that it has.
    #[test]
    fn what_is_beyond_the_limits_is_counted() {
        let limits =
            Limits { text: Some(2), attributes: 2, events: 1, links: 0, event_attributes: 1, ..Limits::default() };
        let mut budget = limits.budget();
        let text = Item::Attribute(1, Value::String(b"abc"));
        let short = Some(Item::Attribute(1, Value::String(b"ab")));
        let event = Item::Event(59, MonotonicNanos(1));
        let sent = [text, event, text, text, Item::EventEnd, event, text, Item::EventEnd, text, text];
        let admitted: Vec<_> = sent.into_iter().map(|item| budget.admit(item)).collect();
        let ended = Some(Item::EventEnd);
        assert_eq!(admitted, [short, Some(event), short, None, ended, None, None, None, short, None]);
        assert_eq!(budget.admit(Item::Link([1; 16], [1; 8])), None);
        assert_eq!(budget.admit(Item::Name(b"abc")), Some(Item::Name(b"abc")));
        assert_eq!(budget.dropped, [1, 1, 1]);
    }
    /// A link has limits of its own, not the event's.
    #[test]
    fn a_link_is_limited_as_a_link() {
        let mut budget = Limits { links: 1, event_attributes: 0, link_attributes: 1, ..Limits::default() }.budget();
        let link = Item::OpenLink { trace_id: [1; 16], span_id: [1; 8], flags: 0, tracestate: b"" };
        let number = Item::Attribute(1, Value::Int(1));
        let sent = [link, number, number, Item::EventEnd];
        let admitted: Vec<bool> = sent.into_iter().map(|item| budget.admit(item).is_some()).collect();
        assert_eq!((admitted, budget.inner_dropped), (vec![true, true, false, true], 1));
        let sent = [link, number, Item::EventEnd, number];
        let admitted: Vec<bool> = sent.into_iter().map(|item| budget.admit(item).is_some()).collect();
        assert_eq!(admitted, [false, false, false, true]);
        assert_eq!(budget.dropped, [0, 0, 1]);
    }
}
