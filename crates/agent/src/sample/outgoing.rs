//! Spans of kept traces on their way out: batches, one a resource, scopes as they were; the reason written on them.

use std::collections::HashMap;
use std::sync::Arc;

use deliver::otlp::builder::{BatchBuilder, ScopeIndex};
use deliver::otlp::decode;
use deliver::otlp::encode::{text, text_attribute, varint};
use deliver::otlp::walk::{self, Malformed, Whole};
use deliver::{Batch, Signal};

use super::buffer::Held;

/// The attribute that says which policy kept a trace: on the spans with which each process began to work on it.
pub const POLICY_ATTRIBUTE: &str = "tandem.sampling.policy";

/// Bytes of a batch.
const BATCH_BYTES: usize = 128 * 1024;
/// Resources that are gathered at a time, and bytes of all of them.
const RESOURCES: usize = 1024;
const MOST_BYTES: usize = 1 << 20;

/// What is different about a span when it goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// Name of the policy that kept its trace, where the span is to say it.
    pub policy: Option<&'a str>,
    /// Its new `tracestate`.
    pub tracestate: Option<&'a [u8]>,
}

/// Batches that are being gathered.
#[derive(Debug, Default)]
pub struct Outgoing {
    builders: Vec<Gathered>,
    by_resource: HashMap<Vec<u8>, usize, foldhash::fast::RandomState>,
    last: usize,
    /// Of what was added since all was taken.
    bytes: usize,
    full: Vec<Arc<Batch>>,
}

#[derive(Debug)]
struct Gathered {
    resource: Vec<u8>,
    builder: BatchBuilder,
    scope: Vec<u8>,
    index: Option<ScopeIndex>,
}

impl Outgoing {
    /// Adds a span.
    pub fn add(&mut self, held: &Held<'_>, change: &Change<'_>) -> Result<(), Malformed> {
        self.find(held.resource)?;
        let gathered = &mut self.builders[self.last];
        if gathered.index.is_none() || gathered.scope != held.scope {
            let index = gathered.builder.encoded_scope(held.scope);
            if index.is_none() {
                // So many scopes: the next batch begins with none.
                self.full.extend(gathered.builder.take().map(Arc::new));
                let (resource, head) = (Arc::clone(gathered.builder.resource()), gathered.resource.clone());
                gathered.builder = BatchBuilder::of_encoded(Signal::Traces, resource, head);
            }
            gathered.index = index.or_else(|| gathered.builder.encoded_scope(held.scope));
            gathered.scope.clear();
            gathered.scope.extend_from_slice(held.scope);
        }
        let Some(index) = gathered.index else { return Err(Malformed) };
        gathered.builder.add(index, |out| write(out, held.span, change));
        self.bytes += held.span.len();
        if gathered.builder.size() >= BATCH_BYTES {
            self.full.extend(gathered.builder.take().map(Arc::new));
        }
        if self.bytes >= MOST_BYTES {
            self.gather();
        }
        Ok(())
    }

    /// Makes this resource's builder the last one.
    fn find(&mut self, resource: &[u8]) -> Result<(), Malformed> {
        if self.builders.get(self.last).is_some_and(|gathered| gathered.resource == resource) {
            return Ok(());
        }
        if let Some(&known) = self.by_resource.get(resource) {
            self.last = known;
            return Ok(());
        }
        let decoded = decode::resource(walk::bytes_field(resource, 1)?).map_err(|_| Malformed)?;
        if self.builders.len() >= RESOURCES {
            self.gather();
            self.builders.clear();
            self.by_resource.clear();
        }
        self.last = self.builders.len();
        self.by_resource.insert(resource.to_vec(), self.last);
        let builder = BatchBuilder::of_encoded(Signal::Traces, Arc::new(decoded), resource.to_vec());
        self.builders.push(Gathered { resource: resource.to_vec(), builder, scope: Vec::new(), index: None });
        Ok(())
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && self.full.is_empty()
    }

    fn gather(&mut self) {
        self.bytes = 0;
        self.full.extend(self.builders.iter_mut().filter_map(|gathered| gathered.builder.take()).map(Arc::new));
    }

    /// Batches that are large enough.
    pub fn take_full(&mut self) -> Vec<Arc<Batch>> {
        std::mem::take(&mut self.full)
    }

    /// All of them, as they are.
    pub fn take(&mut self) -> Vec<Arc<Batch>> {
        self.gather();
        self.take_full()
    }
}

/// Writes a span as field 2 of a `ScopeSpans`.
fn write(out: &mut Vec<u8>, span: &[u8], change: &Change<'_>) {
    const TRACESTATE: u64 = 3;
    const TRACESTATE_TAG: u8 = 0x1a;
    let mark = change.policy.map(|policy| text_attribute(POLICY_ATTRIBUTE, policy)).unwrap_or_default();
    let Some(tracestate) = change.tracestate else {
        out.push(0x12);
        varint(out, (span.len() + mark.len()) as u64);
        out.extend_from_slice(span);
        out.extend_from_slice(&mark);
        return;
    };
    let mut changed = Vec::with_capacity(span.len() + mark.len() + tracestate.len() + 4);
    // It was read when it came.
    for (number, field, whole) in Whole::of(span) {
        if field.is_ok() && number != TRACESTATE {
            changed.extend_from_slice(whole);
        }
    }
    if !tracestate.is_empty() {
        text(&mut changed, TRACESTATE_TAG, tracestate);
    }
    changed.extend_from_slice(&mark);
    text(out, 0x12, &changed);
}
