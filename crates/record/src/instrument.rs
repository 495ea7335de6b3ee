//! Metrics that a program keeps itself: one series each, a number or a histogram.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::header::Header;
use crate::layout::{
    BUCKET, INSTRUMENT, INSTRUMENT_COUNTER, INSTRUMENT_FLAG_ESCAPED, INSTRUMENT_FLAG_FLOAT, INSTRUMENT_FLAG_OBSERVED,
    INSTRUMENT_GAUGE, INSTRUMENT_HISTOGRAM, INSTRUMENT_TYPE_BOOL, INSTRUMENT_TYPE_FLOAT, INSTRUMENT_TYPE_INT,
    INSTRUMENT_TYPE_LIST, INSTRUMENT_UP_DOWN,
};
use crate::{Control, MonotonicNanos, bytes};

/// What a series' number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstrumentKind {
    /// A sum that only rises.
    Counter,
    /// A sum that goes up and down.
    UpDown,
    /// A number that sums make no sense of.
    Gauge,
    /// A histogram.
    Histogram,
}

/// What a series has.
#[derive(Clone, Debug, PartialEq)]
pub enum InstrumentValue {
    /// A whole number.
    Int(i64),
    /// Any number.
    Float(f64),
    /// Values by size.
    Histogram {
        /// Upper bounds, inclusive.
        bounds: Vec<f64>,
        /// Values in each bucket, and above the last bound.
        counts: Vec<u64>,
        /// All values together.
        sum: f64,
    },
}

/// The value of a series' attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum InstrumentAttribute {
    /// A text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A list, as the JSON that the program wrote.
    List(String),
}

impl InstrumentAttribute {
    /// What does not look like its type is a text.
    fn parse(text: String, kind: u8) -> Self {
        match kind {
            INSTRUMENT_TYPE_INT => text.parse().map_or(Self::Text(text), Self::Int),
            INSTRUMENT_TYPE_FLOAT => text.parse().map_or(Self::Text(text), Self::Float),
            INSTRUMENT_TYPE_BOOL => text.parse().map_or(Self::Text(text), Self::Bool),
            INSTRUMENT_TYPE_LIST => Self::List(text),
            _ => Self::Text(text),
        }
    }
}

impl fmt::Display for InstrumentAttribute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::List(text) => formatter.write_str(text),
            Self::Int(number) => number.fmt(formatter),
            Self::Float(number) => number.fmt(formatter),
            Self::Bool(truth) => truth.fmt(formatter),
        }
    }
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Instrument {
    /// What its number means.
    pub kind: InstrumentKind,
    /// It is brought up to date at times, not as things happen.
    pub observed: bool,
    /// Instrumentation scope.
    pub scope: String,
    /// The scope's version, where it is not ours.
    pub scope_version: String,
    /// The scope's schema.
    pub schema_url: String,
    /// The metric.
    pub name: String,
    /// Unit, as UCUM has it.
    pub unit: String,
    /// What it is.
    pub description: String,
    /// Attributes, as the program wrote them.
    pub attributes: Vec<(String, InstrumentAttribute)>,
    /// Since when it has been counting.
    pub start: MonotonicNanos,
    /// What it has.
    pub value: InstrumentValue,
}

/// The instruments of a program, as they are now.
pub(crate) fn read(file: &File, header: &Header, control: &Control) -> Vec<Instrument> {
    let Some(geometry) = header.geometry.instruments else { return Vec::new() };
    let instruments = control.count("instrument_count").min(geometry.instrument_count) as usize;
    let buckets = control.count("bucket_count").min(geometry.bucket_count) as usize;
    let bytes = |size: usize, offset: u64| {
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
    };
    let table = || bytes(instruments * INSTRUMENT.size, geometry.instruments);
    // Between two looks at a place it may become another series: what is the same in both has been so meanwhile.
    match (table(), bytes(buckets * BUCKET.size, geometry.buckets), table()) {
        (Some(before), Some(buckets), Some(after)) => parse(&before, &buckets, &after),
        _ => Vec::new(),
    }
}

/// The instruments whose places held the same series in both looks at the table.
fn parse(before: &[u8], buckets: &[u8], after: &[u8]) -> Vec<Instrument> {
    let places = before.chunks_exact(INSTRUMENT.size).zip(after.chunks_exact(INSTRUMENT.size));
    places
        .filter(|(before, after)| {
            let state = |place: &[u8]| bytes::u32_at(place, const { INSTRUMENT.at("state") });
            state(before) == state(after)
        })
        .filter_map(|(place, _)| one(place, buckets))
        .collect()
}

/// `None`: the place is free, or makes no sense.
fn one(place: &[u8], buckets: &[u8]) -> Option<Instrument> {
    let state = place[const { INSTRUMENT.at("state") }];
    let kind = match state {
        INSTRUMENT_COUNTER => InstrumentKind::Counter,
        INSTRUMENT_UP_DOWN => InstrumentKind::UpDown,
        INSTRUMENT_GAUGE => InstrumentKind::Gauge,
        INSTRUMENT_HISTOGRAM => InstrumentKind::Histogram,
        _ => return None,
    };
    let flags = bytes::u32_at(place, const { INSTRUMENT.at("flags") });
    let value = bytes::u64_at(place, const { INSTRUMENT.at("value") });
    let mut text = &place[const { INSTRUMENT.at("text") }..];
    let mut take = |size: usize| {
        let (part, rest) = text.split_at_checked(size)?;
        text = rest;
        Some(String::from_utf8_lossy(part).into_owned())
    };
    let name = take(place[const { INSTRUMENT.at("name_size") }].into()).filter(|name| !name.is_empty())?;
    let unit = take(place[const { INSTRUMENT.at("unit_size") }].into())?;
    let description = take(place[const { INSTRUMENT.at("description_size") }].into())?;
    let scope = take(place[const { INSTRUMENT.at("scope_size") }].into())?;
    let attributes = take(bytes::u32_at(place, const { INSTRUMENT.at("attributes_size") }) as usize)?;
    let value = match kind {
        InstrumentKind::Histogram => {
            let first = bytes::u32_at(place, const { INSTRUMENT.at("buckets") }) as usize;
            let count = bytes::u32_at(place, const { INSTRUMENT.at("bucket_count") }) as usize;
            let size = count.checked_mul(BUCKET.size)?;
            let own = buckets.get(first.checked_mul(BUCKET.size)?..)?.get(..size)?;
            let word = |bucket: &[u8], field| bytes::u64_at(bucket, BUCKET.at(field));
            let own: Vec<_> = own.chunks_exact(BUCKET.size).collect();
            let (_, bounded) = own.split_last()?;
            let bounds: Vec<f64> = bounded.iter().map(|bucket| f64::from_bits(word(bucket, "bound"))).collect();
            if !bounds.is_sorted_by(|left, right| left < right) || bounds.iter().any(|bound| !bound.is_finite()) {
                return None;
            }
            InstrumentValue::Histogram {
                bounds,
                counts: own.iter().map(|bucket| word(bucket, "count")).collect(),
                sum: f64::from_bits(value),
            }
        }
        _ if flags & INSTRUMENT_FLAG_FLOAT != 0 => InstrumentValue::Float(f64::from_bits(value)),
        _ => InstrumentValue::Int(value.cast_signed()),
    };
    let mut scope = scope.split('\n').map(str::to_owned);
    Some(Instrument {
        kind,
        observed: flags & INSTRUMENT_FLAG_OBSERVED != 0,
        scope: scope.next().unwrap_or_default(),
        scope_version: scope.next().unwrap_or_default(),
        schema_url: scope.next().unwrap_or_default(),
        name,
        unit,
        description,
        attributes: self::attributes(
            &attributes,
            bytes::u64_at(place, const { INSTRUMENT.at("types") }),
            flags & INSTRUMENT_FLAG_ESCAPED != 0,
        ),
        start: MonotonicNanos(bytes::u64_at(place, const { INSTRUMENT.at("start") })),
        value,
    })
}

fn attributes(text: &str, mut types: u64, escaped: bool) -> Vec<(String, InstrumentAttribute)> {
    let plain = |text: &str| if escaped { unescaped(text) } else { text.to_owned() };
    text.split_terminator('\n')
        .filter_map(|line| {
            let kind = (types & 15) as u8;
            types >>= 4;
            let (key, value) = line.split_once('=')?;
            Some((plain(key), InstrumentAttribute::parse(plain(value), kind)))
        })
        .collect()
}

fn unescaped(text: &str) -> String {
    let mut letters = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some('e') => '=',
                Some(other) => other,
                None => break,
            },
            letter => letter,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(state: u32) -> Vec<u8> {
        let mut place = vec![0; INSTRUMENT.size];
        let mut put = |field: &str, bytes: &[u8]| place[INSTRUMENT.at(field)..][..bytes.len()].copy_from_slice(bytes);
        put("state", &state.to_le_bytes());
        put("value", &(-7i64).to_le_bytes());
        put("name_size", &[4]);
        put("unit_size", &[2]);
        put("attributes_size", &7u32.to_le_bytes());
        put("text", b"nameBya=b\nc=d");
        place
    }

    /// A number is what was written; a place that has become another series between the two looks is left out.
    #[test]
    fn a_place_is_one_series() {
        let state = u32::from(INSTRUMENT_UP_DOWN) | 1 << 8;
        let found = parse(&place(state), &[], &place(state));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].unit.as_str()), ("name", "By"));
        assert_eq!(found[0].value, InstrumentValue::Int(-7));
        let pair = |key: &str, value: &str| (key.to_owned(), InstrumentAttribute::Text(value.to_owned()));
        assert_eq!(found[0].attributes, [pair("a", "b"), pair("c", "d")]);
        assert_eq!(parse(&place(state), &[], &place(state + 256)), []);
        assert_eq!(parse(&place(0), &[], &place(0)), []);
    }

    /// Attributes have their types, and any text for a key or a value; what is no number is a text.
    #[test]
    fn attributes_have_types() {
        let types = 1 | 2 << 4 | 3 << 8 | 4 << 12 | 1 << 16;
        let read = attributes("i=-7\nf=1.5\nb=true\nl=[1]\nno=x\nk\\e\\\\=a\\nb=c\n", types, true);
        let values = [
            ("i", InstrumentAttribute::Int(-7)),
            ("f", InstrumentAttribute::Float(1.5)),
            ("b", InstrumentAttribute::Bool(true)),
            ("l", InstrumentAttribute::List("[1]".to_owned())),
            ("no", InstrumentAttribute::Text("x".to_owned())),
            ("k=\\", InstrumentAttribute::Text("a\nb=c".to_owned())),
        ];
        assert_eq!(read, values.map(|(key, value)| (key.to_owned(), value)));
    }

    proptest! {
        /// Whatever a program writes there, it is read or left out.
        #[test]
        fn anything_may_be_there(
            places in proptest::collection::vec(any::<u8>(), 2 * INSTRUMENT.size),
            kind in 0u8..6,
            buckets in proptest::collection::vec(any::<u8>(), 0..4 * BUCKET.size),
            first in 0u32..5,
            count in 0u32..6,
        ) {
            let mut places = places;
            places[0] = kind;
            places[INSTRUMENT.at("buckets")..][..4].copy_from_slice(&first.to_le_bytes());
            places[INSTRUMENT.at("bucket_count")..][..4].copy_from_slice(&count.to_le_bytes());
            for instrument in parse(&places, &buckets, &places) {
                prop_assert!(!instrument.name.is_empty());
                if let InstrumentValue::Histogram { bounds, counts, .. } = instrument.value {
                    prop_assert_eq!(bounds.len() + 1, counts.len());
                }
            }
        }
    }
}
