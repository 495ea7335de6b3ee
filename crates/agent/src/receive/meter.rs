//! Spans that are measured by their bytes, whoever wrote them.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use deliver::Batch;
use deliver::metrics::Exemplar;
use deliver::otlp::encode::UnixNanos;
use deliver::otlp::walk::{AnyValue, Attribute, Malformed, SpanFields, resources};
use model::{SOURCE_ATTRIBUTE, Source};

use super::known::{self, Known, Sender};
use crate::pipeline::{Shared, State};

/// Spans that are measured at a time, so that nobody waits long for the series.
const MEASURED_AT_ONCE: usize = 256;

/// Measures spans into an agent's series.
pub(crate) struct Meter {
    shared: Weak<Shared>,
    known: Mutex<Known>,
}

impl Meter {
    /// Into those of this agent, while it is there.
    pub fn of(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::downgrade(shared), known: Mutex::default() }
    }

    /// Who has this resource, a message.
    pub fn sender(&self, resource: &[u8]) -> Result<Sender, Malformed> {
        self.known().sender(resource)
    }

    /// What measures spans of this sender.
    pub fn spans_of<'m, 'a>(&'m self, sender: &'m Sender) -> Measured<'m, 'a> {
        Measured { meter: self, sender, keys: Vec::new(), spans: Vec::new() }
    }

    /// Measures those spans of a batch that no program has measured itself: what was received, and what was seen from outside.
    pub fn others(&self, batch: &Batch) -> Result<(), Malformed> {
        for resource in resources(&batch.bytes) {
            let resource = resource?;
            let sender = self.sender(resource.resource)?;
            let mut measured = self.spans_of(&sender);
            for scope in resource.scopes() {
                for span in scope?.records() {
                    measured.if_of_others(span?)?;
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
}

impl<'a> Measured<'_, 'a> {
    /// The span's dimensions stand in the keys already, from `begin` on.
    pub(super) fn add(&mut self, span: &'a [u8], fields: &SpanFields<'a>, begin: usize) {
        known::finish(&mut self.keys, self.sender, fields);
        let exemplar = Exemplar {
            trace_id: fields.trace_id.0,
            span_id: fields.span_id.0,
            time: UnixNanos(fields.end_unix_nano),
            duration_ns: fields.duration_ns(),
        };
        self.spans.push(Pending { span, key: begin..self.keys.len(), exemplar });
        if self.spans.len() >= MEASURED_AT_ONCE {
            self.flush();
        }
    }

    /// Measures none of those that wait.
    pub(super) fn forget(&mut self) {
        self.spans.clear();
        self.keys.clear();
    }

    fn if_of_others(&mut self, span: &'a [u8]) -> Result<(), Malformed> {
        let begin = self.keys.len();
        let mut is_of_others = false;
        let keys = &mut self.keys;
        let fields = SpanFields::read_with(span, |key_value| {
            if let Some(attribute) = Attribute::read(key_value)? {
                if attribute.key == SOURCE_ATTRIBUTE.as_bytes()
                    && let AnyValue::String(name) = AnyValue::read(attribute.value)?
                {
                    let source = Source::from_name(name);
                    is_of_others = source.is_some_and(|source| source == Source::Otlp || source.is_observed());
                }
                known::note(keys, attribute);
            }
            Ok(())
        })?;
        if is_of_others {
            self.add(span, &fields, begin);
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
            let index = known.series(&self.keys[pending.key], self.sender, pending.span, measure);
            measure.span(index, pending.exemplar);
        }
        self.keys.clear();
    }
}

impl Drop for Measured<'_, '_> {
    fn drop(&mut self) {
        self.flush();
    }
}
