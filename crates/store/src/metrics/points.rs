//! The numbers of an interval as bytes.
//!
//! ```text
//! version (1)
//! then for each series that has something to say, by rising number:
//!   series − the one before     varint
//!   0 a whole number            varint, zigzag
//!   1 any number                8 bytes, little-endian
//!   2 a histogram               sum (8 bytes); how many buckets have values; for each: bucket − the one before, values (varints)
//! ```
//!
//! What cannot be read ends the reading: what was read before it stands.

use super::Value;
use crate::varint;

const VERSION: u8 = 1;

const INT: u8 = 0;
const FLOAT: u8 = 1;
const HISTOGRAM: u8 = 2;

/// More buckets than these are nobody's: a histogram that claims them is damaged.
const MOST_BUCKETS: usize = 1 << 16;

/// The numbers of series in order of their number.
pub fn encode(points: &[(i64, &Value)]) -> Vec<u8> {
    let mut out = vec![VERSION];
    let mut before = 0;
    for (series, value) in points {
        varint::write(&mut out, (series - before) as u64);
        before = *series;
        match value {
            Value::Int(number) => {
                out.push(INT);
                varint::write(&mut out, ((number << 1) ^ (number >> 63)) as u64);
            }
            Value::Float(number) => {
                out.push(FLOAT);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Value::Histogram { bucket_counts, sum } => {
                out.push(HISTOGRAM);
                out.extend_from_slice(&sum.to_le_bytes());
                write_buckets(&mut out, bucket_counts);
            }
        }
    }
    out
}

fn write_buckets(out: &mut Vec<u8>, counts: &[u64]) {
    let filled = || counts.iter().enumerate().filter(|(_, count)| **count > 0);
    varint::write(out, filled().count() as u64);
    let mut before = 0;
    for (bucket, count) in filled() {
        varint::write(out, (bucket - before) as u64);
        varint::write(out, *count);
        before = bucket;
    }
}

/// The numbers with their series. Histograms have no more buckets than have values.
pub fn decode(bytes: &[u8]) -> impl Iterator<Item = (i64, Value)> {
    let mut rest = match bytes.split_first() {
        Some((&VERSION, rest)) => rest,
        _ => &[],
    };
    let mut series: i64 = 0;
    std::iter::from_fn(move || {
        series = series.checked_add_unsigned(varint::read(&mut rest)?)?;
        let (&form, after) = rest.split_first()?;
        rest = after;
        let value = match form {
            INT => {
                let number = varint::read(&mut rest)?;
                Value::Int((number >> 1) as i64 ^ -((number & 1) as i64))
            }
            FLOAT => Value::Float(read_float(&mut rest)?),
            HISTOGRAM => {
                let sum = read_float(&mut rest)?;
                Value::Histogram { bucket_counts: read_buckets(&mut rest)?, sum }
            }
            _ => return None,
        };
        Some((series, value))
    })
    .fuse()
}

fn read_float(bytes: &mut &[u8]) -> Option<f64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(f64::from_le_bytes(*number))
}

fn read_buckets(bytes: &mut &[u8]) -> Option<Vec<u64>> {
    let mut counts = Vec::new();
    let mut bucket: usize = 0;
    for _ in 0..varint::read(bytes)? {
        bucket = bucket.checked_add(usize::try_from(varint::read(bytes)?).ok()?)?;
        if bucket >= MOST_BUCKETS {
            return None;
        }
        counts.resize(counts.len().max(bucket + 1), 0);
        counts[bucket] = varint::read(bytes)?;
    }
    Some(counts)
}

/// The numbers as JSON, for SQL: an array for each, of series, number, count, sum and buckets.
pub fn json(bytes: &[u8]) -> Option<String> {
    let arrays = decode(bytes).map(|(series, value)| match value {
        Value::Int(number) => serde_json::json!([series, number]),
        Value::Float(number) => serde_json::json!([series, number]),
        Value::Histogram { bucket_counts, sum } => {
            serde_json::json!([series, null, bucket_counts.iter().sum::<u64>(), sum, bucket_counts])
        }
    });
    serde_json::to_string(&arrays.collect::<Vec<_>>()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::Int),
            (-1e300..1e300f64).prop_map(Value::Float),
            (prop::collection::vec(0..u64::MAX >> 8, 0..20), -1e9..1e9f64).prop_map(|(mut bucket_counts, sum)| {
                while bucket_counts.last() == Some(&0) {
                    bucket_counts.pop();
                }
                Value::Histogram { bucket_counts, sum }
            }),
        ]
    }

    proptest! {
        #[test]
        fn numbers_come_out_as_they_went_in(values in prop::collection::btree_map(1..i64::MAX, any_value(), 0..20)) {
            let points: Vec<(i64, &Value)> = values.iter().map(|(series, value)| (*series, value)).collect();
            let read: Vec<(i64, Value)> = decode(&encode(&points)).collect();
            prop_assert_eq!(read, values.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn damaged_bytes_harm_nobody(mut bytes in prop::collection::vec(any::<u8>(), 0..200), is_ours in any::<bool>()) {
            if let (true, Some(version)) = (is_ours, bytes.first_mut()) {
                *version = VERSION;
            }
            prop_assert!(decode(&bytes).count() <= bytes.len());
            json(&bytes);
        }
    }
}
