//! Exponential histograms in buckets that stay where they are, for who knows no others: Prometheus' text, the store.
//!
//! Such a histogram makes its buckets wider when its values spread, so that what it counted before has other bounds. Those made
//! here are a series' own from the first time that it is seen: four to each doubling, from six doublings below its least value to
//! six above its greatest. What comes outside of them later is in the first or the last bucket.

use deliver::otlp::walk::{Field, Fields, Malformed};
use prost::encoding::decode_varint;
use record::InstrumentValue;

/// Bounds to each doubling.
const PARTS: i64 = 4;
/// `PARTS` as the specification counts: the scale of a histogram with so many.
const SCALE: i32 = 2;
/// Doublings beyond the values that were seen first.
const BEYOND: i64 = 6;
/// At most so many doublings have bounds: the upper ones.
const DOUBLINGS: i64 = 40;
/// Scales that there are.
const SCALES: std::ops::RangeInclusive<i32> = -10..=20;
/// Bounds are powers of two that a double holds.
const EXPONENTS: std::ops::RangeInclusive<i64> = -1000..=1000;

/// What an exponential histogram has counted, without its negative values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Exponential {
    sum: f64,
    /// So near to zero that they are in no bucket.
    zero: u64,
    /// Upper bounds, as the exponent of two times `PARTS`, rising; and how many values.
    counts: Vec<(i64, u64)>,
}

impl Exponential {
    /// Reads a data point. `None`: there are negative values, or no such scale.
    pub fn read(point: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut read = Self::default();
        let (mut scale, mut positive, mut has_negative) = (0, None, false);
        for field in Fields::of(point) {
            match field? {
                (5, Field::Fixed64(bits)) => read.sum = f64::from_bits(bits),
                (6, Field::Varint(number)) => scale = signed(number),
                (7, Field::Fixed64(count)) => read.zero = count,
                (8, Field::Bytes(buckets)) => positive = Some(buckets),
                (9, Field::Bytes(buckets)) => has_negative = self::buckets(buckets)?.1.iter().any(|&count| count > 0),
                _ => {}
            }
        }
        if has_negative || !SCALES.contains(&scale) {
            return Ok(None);
        }
        let (offset, counts) = positive.map_or(Ok((0, Vec::new())), buckets)?;
        let upper = (i64::from(offset) + 1..).map(|bound| at(bound, scale));
        read.counts = upper.zip(counts).filter(|(_, count)| *count > 0).collect();
        Ok(Some(read))
    }

    /// In these buckets, or in those that a series begins with.
    pub fn within(&self, known: Option<&InstrumentValue>) -> InstrumentValue {
        let bounds = match known {
            Some(InstrumentValue::Histogram { bounds, .. }) => bounds.clone(),
            _ => self.bounds(),
        };
        let mut counts = vec![0_u64; bounds.len() + 1];
        counts[0] = self.zero;
        for &(upper, count) in &self.counts {
            let upper = power(upper);
            let bucket = &mut counts[bounds.partition_point(|bound| *bound < upper)];
            *bucket = bucket.saturating_add(count);
        }
        InstrumentValue::Histogram { bounds, counts, sum: self.sum }
    }

    fn bounds(&self) -> Vec<f64> {
        let of = |values: Option<&(i64, u64)>| values.map_or(0, |(upper, _)| *upper);
        let highest = of(self.counts.last()) + BEYOND * PARTS;
        let lowest = (of(self.counts.first()) - BEYOND * PARTS).max(highest - DOUBLINGS * PARTS);
        (lowest..=highest).map(power).collect()
    }
}

/// Where a bound of that scale lies among ours: at the next one above it, where ours are fewer.
fn at(bound: i64, scale: i32) -> i64 {
    let ours = match scale - SCALE {
        finer @ 0.. => -((-bound) >> finer),
        coarser => bound.saturating_mul(1 << -coarser),
    };
    ours.clamp(EXPONENTS.start() * PARTS, EXPONENTS.end() * PARTS)
}

fn power(ours: i64) -> f64 {
    (ours as f64 / PARTS as f64).exp2()
}

/// The first bucket's index, and how many values each has.
fn buckets(message: &[u8]) -> Result<(i32, Vec<u64>), Malformed> {
    let (mut offset, mut counts) = (0, Vec::new());
    for field in Fields::of(message) {
        match field? {
            (1, Field::Varint(number)) => offset = signed(number),
            (2, Field::Varint(count)) => counts.push(count),
            (2, Field::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    counts.push(decode_varint(&mut packed).map_err(|_| Malformed)?);
                }
            }
            _ => {}
        }
    }
    Ok((offset, counts))
}

/// The number of a `sint32`.
fn signed(number: u64) -> i32 {
    let number = number as u32;
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint;
    use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn point(scale: i32, offset: i32, bucket_counts: Vec<u64>) -> ExponentialHistogramDataPoint {
        let positive = Some(Buckets { offset, bucket_counts });
        ExponentialHistogramDataPoint { scale, positive, zero_count: 2, ..Default::default() }
    }

    /// A histogram that has made its buckets wider goes on in the buckets that it had here.
    #[test]
    fn a_wider_one_goes_on() {
        let read = |point: ExponentialHistogramDataPoint| {
            Exponential::read(&point.encode_to_vec()).expect("sound").expect("no negative values")
        };
        // Of scale 3 the buckets 8 and 9 are (2, 2.18] and (2.18, 2.38]: both end in ours of scale 2 up to 2.38.
        let first = read(point(3, 8, vec![5, 7])).within(None);
        let InstrumentValue::Histogram { bounds, counts, .. } = &first else { panic!("no histogram") };
        let place = bounds.iter().position(|bound| *bound == 1.25_f64.exp2()).expect("a bound");
        assert_eq!((counts[place], counts[0], counts.iter().sum::<u64>()), (12, 2, 14));
        // Of scale 0 the bucket 1 is (2, 4], 20 is beyond all bounds.
        let mut wide = vec![0; 20];
        (wide[0], wide[19]) = (20, 1);
        let InstrumentValue::Histogram { bounds: same, counts, .. } = read(point(0, 1, wide)).within(Some(&first))
        else {
            panic!("no histogram")
        };
        let place = bounds.iter().position(|bound| *bound == 4.0).expect("a bound");
        assert_eq!((&same, counts[place], counts.last()), (bounds, 20, Some(&1)));
    }

    #[test]
    fn negative_values_are_not_taken() {
        let mut point = point(0, 0, vec![1]);
        point.negative = Some(Buckets { offset: 0, bucket_counts: vec![0, 1] });
        assert_eq!(Exponential::read(&point.encode_to_vec()), Ok(None));
    }

    proptest! {
        /// Whatever a sender says: no value is lost, bounds rise, and there are not too many.
        #[test]
        fn every_value_is_in_a_bucket(
            scale in -12..22_i32,
            offset in any::<i32>(),
            counts in prop::collection::vec(0..1_u64 << 40, 0..300),
        ) {
            let all = counts.iter().sum::<u64>() + 2;
            let read = Exponential::read(&point(scale, offset, counts).encode_to_vec()).expect("sound");
            prop_assert_eq!(read.is_some(), SCALES.contains(&scale));
            if let Some(read) = read {
                let InstrumentValue::Histogram { bounds, counts, .. } = read.within(None) else { panic!("no histogram") };
                prop_assert_eq!(counts.iter().sum::<u64>(), all);
                prop_assert!(bounds.is_sorted_by(|one, other| one < other) && bounds.len() <= (DOUBLINGS * PARTS + 1) as usize);
                prop_assert!(bounds.iter().all(|bound| bound.is_finite()));
            }
        }
    }
}
