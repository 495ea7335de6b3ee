//! The counts of spans that left no record: not sampled, or the ring was full.
//!
//! Each processor has a table of cumulative histograms. A reader takes what has been added since it last looked; a
//! histogram's count is the sum of its buckets, so that what is taken always fits together.

use std::collections::HashMap;

use crate::bytes;
use crate::layout::{BUCKET_COUNT, SERIES};
use crate::memory::Memory;

/// What was added to one series since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesDelta<'a> {
    /// Id of the operation.
    pub descriptor: u32,
    /// Status code, as in OTLP.
    pub status: u8,
    /// Items: the metric dimensions.
    pub labels: &'a [u8],
    /// Durations, ns.
    pub sum: u64,
    /// Spans by duration.
    pub buckets: [u64; BUCKET_COUNT],
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    sum: u64,
    buckets: [u64; BUCKET_COUNT],
}

/// Takes what is new in the counts of one program.
#[derive(Debug)]
pub struct SeriesReader {
    series_count: u32,
    seen: HashMap<(u32, u32), Seen>,
    buffer: Vec<u8>,
}

impl SeriesReader {
    pub(crate) fn new(series_count: u32) -> Self {
        Self { series_count, seen: HashMap::new(), buffer: Vec::new() }
    }

    /// Calls `each` with what every series has gained. A series whose numbers went down is a writer's mistake: it is
    /// looked at anew from there.
    pub fn take(&mut self, memory: &Memory, mut each: impl FnMut(SeriesDelta<'_>)) {
        for processor in 0..memory.header().processor_count() {
            let Some(table) = memory.read_series(processor, &mut self.buffer) else { continue };
            for (index, series) in (0..self.series_count).zip(table.chunks_exact(SERIES.size)) {
                if bytes::u64_at(series, const { SERIES.at("hash") }) == 0 {
                    continue;
                }
                let mut now =
                    Seen { sum: bytes::u64_at(series, const { SERIES.at("sum") }), buckets: [0; BUCKET_COUNT] };
                for (bucket, count) in now.buckets.iter_mut().enumerate() {
                    *count = bytes::u64_at(series, const { SERIES.at("buckets") } + 8 * bucket);
                }
                let before = self.seen.insert((processor, index), now).unwrap_or_default();
                let went_down = now.buckets.iter().zip(&before.buckets).any(|(now, before)| now < before);
                if went_down || now.buckets == before.buckets {
                    continue;
                }
                let mut buckets = now.buckets;
                buckets.iter_mut().zip(&before.buckets).for_each(|(now, before)| *now -= before);
                let labels_size = usize::from(series[const { SERIES.at("labels_size") }])
                    .min(SERIES.size - const { SERIES.at("labels") });
                each(SeriesDelta {
                    descriptor: bytes::u32_at(series, const { SERIES.at("descriptor") }),
                    status: series[const { SERIES.at("status") }],
                    labels: &series[const { SERIES.at("labels") }..][..labels_size],
                    sum: now.sum.saturating_sub(before.sum),
                    buckets,
                });
            }
        }
    }
}
