//! Spans that are measured by their bytes, whoever wrote them.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use deliver::Batch;
use deliver::metrics::Exemplar;
use deliver::otlp::encode::UnixNanos;
use deliver::otlp::walk::{self, AnyValue, Attribute, Malformed, SpanFields, resources};
use model::{SOURCE_ATTRIBUTE, Source};

use super::known::{self, Known, Sender};
use crate::graph::Ends;
use crate::pipeline::{Shared, State};

/// Links of a span that are looked at.
const LINKS: usize = 16;
/// Spans that are measured at a time, so that nobody waits long for the series.
const MEASURED_AT_ONCE: usize = 256;

/// Measures spans into an agent's series.
pub(crate) struct Meter {
    shared: Weak<Shared>,
    /// Attributes that the service graph tells spans apart by.
    wanted: Arc<[String]>,
    known: Mutex<Known>,
}

impl Meter {
    /// Into those of this agent, while it is there.
    pub fn of(shared: &Arc<Shared>) -> Self {
        let wanted = shared.state().measure.graph.wanted();
        Self { shared: Arc::downgrade(shared), wanted, known: Mutex::default() }
    }

    /// Who has this resource, a message.
    pub fn sender(&self, resource: &[u8]) -> Result<Sender, Malformed> {
        self.known().sender(resource)
    }

    /// What measures spans of this sender.
    pub fn spans_of<'m, 'a>(&'m self, sender: &'m Sender) -> Measured<'m, 'a> {
        Measured { meter: self, sender, keys: Vec::new(), spans: Vec::new() }
    }

    /// Measures those spans of a batch that no program has measured itself: what was received, and what was seen from outside. All
    /// of them are shown to the service graph.
    pub fn others(&self, batch: &Batch) -> Result<(), Malformed> {
        for resource in resources(&batch.bytes) {
            let resource = resource?;
            let sender = self.sender(resource.resource)?;
            let mut measured = self.spans_of(&sender);
            for scope in resource.scopes() {
                for span in scope?.records() {
                    measured.of_anybody(span?)?;
                }
            }
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spans of one sender. Dropped, they are measured.
pub(crate) struct Measured<'m, 'a> {
    meter: &'m Meter,
    sender: &'m Sender,
    /// What tells their series apart, one after the other.
    pub(super) keys: Vec<u8>,
    spans: Vec<Pending<'a>>,
}

struct Pending<'a> {
    span: &'a [u8],
    key: Range<usize>,
    exemplar: Exemplar,
    parent: [u8; 8],
    is_inside: bool,
    /// Somebody else has measured it.
    is_measured: bool,
}

impl<'a> Measured<'_, 'a> {
    /// The span's dimensions stand in the keys already, from `begin` on.
    pub(super) fn add(&mut self, span: &'a [u8], fields: &SpanFields<'a>, begin: usize) {
        self.push(span, fields, begin, false, false);
    }

    fn push(&mut self, span: &'a [u8], fields: &SpanFields<'a>, begin: usize, is_inside: bool, is_measured: bool) {
        known::finish(&mut self.keys, self.sender, fields);
        let exemplar = Exemplar {
            trace_id: fields.trace_id.0,
            span_id: fields.span_id.0,
            time: UnixNanos(fields.end_unix_nano),
            duration_ns: fields.duration_ns(),
        };
        let parent = fields.parent_span_id.unwrap_or_default().0;
        self.spans.push(Pending { span, key: begin..self.keys.len(), exemplar, parent, is_inside, is_measured });
        if self.spans.len() >= MEASURED_AT_ONCE {
            self.flush();
        }
    }

    fn forget(&mut self) {
        self.spans.clear();
        self.keys.clear();
    }

    /// An attribute that may tell series apart.
    pub(super) fn note(&mut self, attribute: Attribute<'_>) {
        known::note(&mut self.keys, attribute, &self.meter.wanted);
    }

    fn of_anybody(&mut self, span: &'a [u8]) -> Result<(), Malformed> {
        let begin = self.keys.len();
        let mut source = Source::Woven;
        let (keys, wanted) = (&mut self.keys, &self.meter.wanted);
        let fields = SpanFields::read_with(span, |key_value| {
            if let Some(attribute) = Attribute::read(key_value)? {
                if attribute.key == SOURCE_ATTRIBUTE.as_bytes()
                    && let AnyValue::String(name) = AnyValue::read(attribute.value)?
                {
                    source = Source::from_name(name).unwrap_or_default();
                }
                known::note(keys, attribute, wanted);
            }
            Ok(())
        })?;
        let is_measured = matches!(source, Source::Woven | Source::Api);
        if !is_measured || is_end_of_request(fields.kind) {
            // Of what was received nobody knows; of what hangs below another account of its caller neither.
            let is_inside = source == Source::Woven && fields.flags & PARENT_IS_KNOWN == PARENT_IS_INSIDE;
            self.push(span, &fields, begin, is_inside, is_measured);
        } else {
            self.keys.truncate(begin);
        }
        Ok(())
    }

    fn flush(&mut self) {
        let Some(shared) = self.meter.shared.upgrade() else { return self.forget() };
        let mut known = self.meter.known();
        let mut state = shared.state();
        let State { measure, .. } = &mut *state;
        for pending in self.spans.drain(..) {
            let key = &self.keys[pending.key.clone()];
            let mut links = Vec::new();
            if pending.is_measured {
                let role = known.role(key, self.sender, pending.span, measure);
                measure.graph.span(role, &pending.ends(&mut links));
            } else {
                let index = known.series(key, self.sender, pending.span, measure);
                measure.span(index, pending.exemplar);
                measure.ends(index, || pending.ends(&mut links));
            }
        }
        measure.graph.tick(Instant::now());
        self.keys.clear();
    }
}

impl Pending<'_> {
    fn ends<'l>(&self, links: &'l mut Vec<([u8; 16], [u8; 8])>) -> Ends<'l> {
        links.extend(walk::links(self.span).take(LINKS).flatten().map(|(trace, span)| (trace.0, span.0)));
        Ends { span: self.exemplar, parent: self.parent, is_inside: self.is_inside, links }
    }
}

/// Flags of a span: whether it is known where the parent is, and that it is in the same process.
const PARENT_IS_KNOWN: u32 = 0x300;
const PARENT_IS_INSIDE: u32 = 0x100;

fn is_end_of_request(kind: i32) -> bool {
    (2..=5).contains(&kind)
}

impl Drop for Measured<'_, '_> {
    fn drop(&mut self) {
        self.flush();
    }
}
