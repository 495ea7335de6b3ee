//! Which series of the metrics a span counts in: by its operation, status and dimensions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use deliver::metrics::RedKey;
use deliver::otlp::encode::KeyTable;
use foldhash::fast::RandomState;
use record::{SpanRecord, Value};

use super::noted::Noted;
use crate::measure::{self, Besides, Measure, SeriesIndex};

/// Different sets of dimensions that one program may have.
const DIMENSIONS_LIMIT: usize = 4096;

/// The series that a span belongs to: of its operation, status and dimensions.
#[inline]
pub(super) fn find_series(
    series: &mut HashMap<Vec<u8>, SeriesIndex, RandomState>,
    series_key: &mut Vec<u8>,
    record: &SpanRecord<'_>,
    own_name: &[u8],
    noted: &Noted<'_>,
    make: impl FnOnce(&mut HashMap<Vec<u8>, SeriesIndex, RandomState>, &[u8]) -> SeriesIndex,
) -> SeriesIndex {
    series_key.clear();
    series_key.extend_from_slice(&record.descriptor().to_le_bytes());
    series_key.push(record.status());
    noted.dimensions().for_each(|(key, value)| append(series_key, *key, value));
    append(series_key, 0, &Value::String(own_name));
    // While there is room: these have any number of values.
    if !noted.wanted.is_empty() && series.len() < DIMENSIONS_LIMIT / 2 {
        noted.wanted.iter().for_each(|(key, value)| append(series_key, *key, value));
    }
    match series.get(series_key.as_slice()) {
        Some(index) => *index,
        None => make(series, series_key),
    }
}

/// Appends a dimension to a series' local key.
#[inline]
pub(super) fn append(series_key: &mut Vec<u8>, key: u16, value: &Value<'_>) {
    series_key.extend_from_slice(&key.to_le_bytes());
    match value {
        Value::String(bytes) => {
            series_key.extend_from_slice(&(bytes.len() as u16 | 0x8000).to_le_bytes()); // at most 4095
            series_key.extend_from_slice(bytes);
        }
        Value::Int(number) => {
            series_key.push(1);
            series_key.extend_from_slice(&number.to_le_bytes());
        }
        Value::Float(number) => {
            series_key.push(2);
            series_key.extend_from_slice(&number.to_bits().to_le_bytes());
        }
        Value::Bool(flag) => series_key.extend_from_slice(&[3, u8::from(*flag)]),
    }
}

/// Attributes by their names.
pub(super) fn named<'a>(
    values: impl Iterator<Item = &'a (u16, Value<'a>)>,
    keys: &KeyTable,
) -> Vec<(String, model::Value)> {
    values
        .filter_map(|(key, value)| {
            let value = match *value {
                Value::String(bytes) => model::Value::String(String::from_utf8_lossy(bytes).into_owned()),
                Value::Int(number) => model::Value::Int(number),
                Value::Float(number) => model::Value::Float(number),
                Value::Bool(flag) => model::Value::Bool(flag),
            };
            Some((keys.name(*key)?.to_owned(), value))
        })
        .collect()
}

pub(super) fn red_key<'a>(
    service: &Arc<str>,
    name: &str,
    kind: u8,
    status: u8,
    dimensions: impl Iterator<Item = &'a (u16, Value<'a>)>,
    keys: &KeyTable,
) -> RedKey {
    let dimensions: BTreeMap<String, model::Value> = named(dimensions, keys).into_iter().collect();
    let mut key = RedKey {
        service: Arc::clone(service),
        span_name: name.to_owned(),
        kind,
        status,
        dimensions: dimensions.into_iter().collect(),
        metric: "",
        overflow: false,
    };
    key.metric = measure::metric_of(&key);
    key
}

pub(super) fn remember(
    series: &mut HashMap<Vec<u8>, SeriesIndex, RandomState>,
    series_key: &[u8],
    key: RedKey,
    besides: &Besides<'_>,
    measure: &mut Measure,
) -> SeriesIndex {
    if series.len() >= DIMENSIONS_LIMIT {
        return measure.overflow(&key, besides);
    }
    let index = measure.series(key, besides);
    series.insert(series_key.to_vec(), index);
    index
}
