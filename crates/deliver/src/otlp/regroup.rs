//! From one group of a request that somebody has sent to batches: the same bytes, without the records that are not taken, and
//! with a word in spans on where they come from.
//!
//! Nothing is decoded and encoded again. Fields that are not known here are copied as they are.

use std::sync::Arc;

use bytes::Bytes;
use model::{Resource, Source};

use super::builder::{Buffer, memory};
use super::check::{self, Level};
use super::encode::{source_attribute, varint, varint_size};
use super::walk::{Field, Malformed, Whole};
use crate::{Batch, Signal};

/// Batches have no more bytes of records, but for one that has a single record: receivers refuse more than 4 MiB by gRPC.
const BATCH_BYTES: usize = 1 << 20;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays as it is.
    Kept,
    /// It is a span that does not say where it comes from, and gets [`model::SOURCE_ATTRIBUTE`].
    Marked,
    /// It is left out.
    Refused,
}

/// What a marked span says more.
fn mark() -> &'static [u8] {
    source_attribute(Source::Otlp)
}

/// The tag of the fields that hold groups in a request, scopes in a group, and records in a scope.
const GROUP: u8 = 0x0a;
const INNER: u8 = 0x12;

/// A group that is being taken: `ResourceSpans`, `ResourceLogs` or `ResourceMetrics`.
pub struct Regrouped<'a> {
    /// Fields that every batch has, with their tags: the resource.
    heads: Vec<&'a [u8]>,
    scopes: Vec<Scope<'a>>,
    is_whole: bool,
}

struct Scope<'a> {
    heads: Vec<&'a [u8]>,
    records: Vec<(&'a [u8], Verdict)>,
}

/// Reads a group, and asks about every record.
pub fn regroup<'a>(
    group: &'a [u8],
    mut judge: impl FnMut(&'a [u8]) -> Result<Verdict, Malformed>,
) -> Result<Regrouped<'a>, Malformed> {
    let mut regrouped = Regrouped { heads: Vec::new(), scopes: Vec::new(), is_whole: true };
    for (number, field, whole) in Whole::of(group) {
        let (2, Field::Bytes(scope)) = (number, field?) else {
            regrouped.heads.push(whole);
            continue;
        };
        let mut taken = Scope { heads: Vec::new(), records: Vec::new() };
        for (number, field, whole) in Whole::of(scope) {
            let (2, Field::Bytes(record)) = (number, field?) else {
                taken.heads.push(whole);
                continue;
            };
            let verdict = judge(record)?;
            regrouped.is_whole &= verdict == Verdict::Kept;
            if verdict != Verdict::Refused {
                taken.records.push((record, verdict));
            }
        }
        regrouped.scopes.push(taken);
    }
    Ok(regrouped)
}

fn size_of_field(size: usize) -> usize {
    1 + varint_size(size as u64) + size
}

fn size_of_record(&(record, verdict): &(&[u8], Verdict)) -> usize {
    record.len() + if verdict == Verdict::Marked { mark().len() } else { 0 }
}

/// Records of one scope that go into a batch, and how large the scope is with them.
struct Part<'r, 'a> {
    scope: &'r Scope<'a>,
    records: &'r [(&'a [u8], Verdict)],
    size: usize,
}

impl Regrouped<'_> {
    /// Looks at what is beside its spans, as [`check::beside_spans`] does.
    pub fn check_beside_spans(&self) -> Result<(), Malformed> {
        self.heads.iter().try_for_each(|head| check::beside_spans(Level::Group, head))?;
        let mut in_scopes = self.scopes.iter().flat_map(|scope| &scope.heads);
        in_scopes.try_for_each(|head| check::beside_spans(Level::Scope, head))
    }

    /// Leaves records out after all, asking about each in its order.
    pub fn retain(&mut self, mut is_kept: impl FnMut() -> bool) {
        for scope in &mut self.scopes {
            let before = scope.records.len();
            scope.records.retain(|_| is_kept());
            self.is_whole &= scope.records.len() == before;
        }
    }

    /// Records in it.
    pub fn records(&self) -> usize {
        self.scopes.iter().map(|scope| scope.records.len()).sum()
    }

    /// Its batches. `whole` is the group with its tag in the request that it came in.
    pub fn batches(&self, signal: Signal, resource: &Arc<Resource>, whole: Bytes, mut each: impl FnMut(Batch)) {
        if self.is_whole && whole.len() <= BATCH_BYTES {
            let records = self.records() as u32; // fewer than bytes
            if records > 0 {
                each(Batch { signal, resource: Arc::clone(resource), bytes: whole, records });
            }
            return;
        }
        let heads: usize = self.heads.iter().map(|head| head.len()).sum();
        // Only records count: what every batch repeats may be as large as it likes, and must not make more batches.
        let (mut parts, mut held): (Vec<Part<'_, '_>>, usize) = (Vec::new(), 0);
        let mut hand_over = |parts: &mut Vec<Part<'_, '_>>| {
            if !parts.is_empty() {
                let (bytes, records) = self.write(heads, parts);
                each(Batch { signal, resource: Arc::clone(resource), bytes, records });
                parts.clear();
            }
        };
        for scope in &self.scopes {
            let own: usize = scope.heads.iter().map(|head| head.len()).sum();
            let mut rest = scope.records.as_slice();
            while !rest.is_empty() {
                let (mut count, mut size) = (0, own);
                for record in rest {
                    let more = size_of_field(size_of_record(record));
                    if held > 0 && held + more > BATCH_BYTES {
                        break;
                    }
                    (count, size, held) = (count + 1, size + more, held + more);
                }
                let (records, after) = rest.split_at(count);
                if count > 0 {
                    parts.push(Part { scope, records, size });
                }
                rest = after;
                if !rest.is_empty() {
                    hand_over(&mut parts);
                    held = 0;
                }
            }
        }
        hand_over(&mut parts);
    }

    fn write(&self, heads: usize, parts: &[Part<'_, '_>]) -> (Bytes, u32) {
        let size = heads + parts.iter().map(|part| size_of_field(part.size)).sum::<usize>();
        let mut out = memory(size_of_field(size));
        let mut records = 0;
        out.push(GROUP);
        varint(&mut out, size as u64);
        self.heads.iter().for_each(|head| out.extend_from_slice(head));
        for part in parts {
            out.push(INNER);
            varint(&mut out, part.size as u64);
            part.scope.heads.iter().for_each(|head| out.extend_from_slice(head));
            for record in part.records {
                out.push(INNER);
                varint(&mut out, size_of_record(record) as u64);
                out.extend_from_slice(record.0);
                if record.1 == Verdict::Marked {
                    out.extend_from_slice(mark());
                }
            }
            records += part.records.len() as u32;
        }
        (Bytes::from_owner(Buffer(out)), records)
    }
}
