//! Spans that are measured by their bytes, whoever wrote them.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use deliver::Batch;
use deliver::metrics::Exemplar;
use deliver::otlp::encode::UnixNanos;
use deliver::otlp::walk::{self, AnyValue, Attribute, Malformed, ResourceGroup, SpanFields, resources};
use model::{SOURCE_ATTRIBUTE, Source};

use super::known::{self, Known, Sender, Telling};
use crate::graph::{Ends, RoleIndex};
use crate::measure::{Measure, SeriesIndex};
use crate::pipeline::Shared;

/// Links of a span that are looked at.
const LINKS: usize = 16;
/// Spans that are measured at a time, so that nobody waits long for the series.
const MEASURED_AT_ONCE: usize = 256;

/// Measures spans into an agent's series.
pub(crate) struct Meter {
    shared: Weak<Shared>,
    telling: Telling,
    known: Mutex<Known>,
}

impl Meter {
    /// Into those of this agent, while it is there.
    pub fn of(shared: &Arc<Shared>) -> Self {
        let telling = Telling::with(&shared.state().measure.graph.wanted());
        Self { shared: Arc::downgrade(shared), telling, known: Mutex::default() }
    }

    /// What is kept of senders.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures those spans of a batch that no program has measured itself: what was received, and what was seen from outside. All
    /// of them are shown to the service graph.
    pub fn others(&self, batch: &Batch) -> Result<(), Malformed> {
        for resource in resources(&batch.bytes) {
            let resource = resource?;
            let mut known = self.known();
            let sender = known.sender(resource.resource)?;
            let mut noted = Noted::default();
            let read = self.read(&resource, &sender, &mut known, &mut noted);
            self.measure(&mut noted, &sender, &mut known); // what came before something malformed, too
            read?;
        }
        Ok(())
    }

    fn read<'a>(
        &self,
        resource: &ResourceGroup<'a>,
        sender: &Sender,
        known: &mut Known,
        noted: &mut Noted<'a>,
    ) -> Result<(), Malformed> {
        for scope in resource.scopes() {
            for span in scope?.records() {
                noted.of_anybody(span?, &self.telling, sender, known)?;
                if noted.spans.len() >= MEASURED_AT_ONCE {
                    self.measure(noted, sender, known);
                }
            }
        }
        Ok(())
    }

    /// Writes an attribute into the key of the span that is being noted, where it may tell series apart.
    #[inline]
    pub fn note(&self, attribute: Attribute<'_>, key_value: &[u8], noted: &mut Noted<'_>) {
        known::note(&mut noted.keys, attribute, key_value, &self.telling);
    }

    /// Measures what was noted of spans of this sender, which is forgotten.
    pub fn measure(&self, noted: &mut Noted<'_>, sender: &Sender, known: &mut Known) {
        let Some(shared) = self.shared.upgrade() else { return noted.clear() };
        for spans in noted.spans.chunks(MEASURED_AT_ONCE) {
            let mut state = shared.state();
            spans.iter().for_each(|span| span.measure(&noted.keys, sender, known, &mut state.measure));
            state.measure.graph.tick(Instant::now());
        }
        noted.clear();
    }
}

/// Spans of one sender, as far as they are measured.
#[derive(Default)]
pub(crate) struct Noted<'a> {
    spans: Vec<Pending<'a>>,
    /// What tells series apart that are not known yet, one after the other; at the end that of the span that is being noted.
    keys: Vec<u8>,
    /// Where the last one begins.
    begin: usize,
}

struct Pending<'a> {
    span: &'a [u8],
    key: Range<usize>,
    /// Known by the key, which is gone then.
    series: Option<SeriesIndex>,
    exemplar: Exemplar,
    parent: [u8; 8],
    is_inside: bool,
    /// Somebody else has measured it.
    is_measured: bool,
}

impl<'a> Noted<'a> {
    /// Notes a received span, whose dimensions stand in the key already.
    #[inline]
    pub fn add(&mut self, span: &'a [u8], fields: &SpanFields<'a>, sender: &Sender, known: &Known) {
        known::finish(&mut self.keys, sender, fields);
        let series = known.found(&self.keys[self.begin..]);
        if series.is_some() {
            self.keys.truncate(self.begin);
        }
        self.push(span, fields, series, false, false);
    }

    /// Forgets the span that is being noted.
    pub fn skip(&mut self) {
        self.keys.truncate(self.begin);
    }

    /// The spans' ids.
    pub fn ids(&self) -> impl Iterator<Item = ([u8; 16], [u8; 8])> {
        self.spans.iter().map(|pending| (pending.exemplar.trace_id, pending.exemplar.span_id))
    }

    /// Leaves spans out after all, asking about each in its order.
    pub fn retain(&mut self, mut is_kept: impl FnMut() -> bool) {
        self.spans.retain(|_| is_kept());
    }

    fn push(
        &mut self,
        span: &'a [u8],
        fields: &SpanFields<'a>,
        series: Option<SeriesIndex>,
        is_inside: bool,
        is_measured: bool,
    ) {
        let exemplar = Exemplar {
            trace_id: fields.trace_id.0,
            span_id: fields.span_id.0,
            time: UnixNanos(fields.end_unix_nano),
            duration_ns: fields.duration_ns(),
        };
        let parent = fields.parent_span_id.unwrap_or_default().0;
        let key = self.begin..self.keys.len();
        self.begin = key.end;
        self.spans.push(Pending { span, key, series, exemplar, parent, is_inside, is_measured });
    }

    fn of_anybody(
        &mut self,
        span: &'a [u8],
        telling: &Telling,
        sender: &Sender,
        known: &Known,
    ) -> Result<(), Malformed> {
        let mut source = Source::Woven;
        let keys = &mut self.keys;
        let fields = SpanFields::read_with(span, |key_value| {
            if let Some(attribute) = Attribute::read(key_value)? {
                if attribute.key == SOURCE_ATTRIBUTE.as_bytes()
                    && let AnyValue::String(name) = AnyValue::read(attribute.value)?
                {
                    source = Source::from_name(name).unwrap_or_default();
                }
                known::note(keys, attribute, key_value, telling);
            }
            Ok(())
        })?;
        let is_measured = matches!(source, Source::Woven | Source::Api);
        if !is_measured {
            self.add(span, &fields, sender, known);
        } else if is_end_of_request(fields.kind) {
            known::finish(&mut self.keys, sender, &fields);
            // Of what was received nobody knows; of what hangs below another account of its caller neither.
            let is_inside = source == Source::Woven && fields.flags & PARENT_IS_KNOWN == PARENT_IS_INSIDE;
            self.push(span, &fields, None, is_inside, true);
        } else {
            self.skip();
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.spans.clear();
        self.keys.clear();
        self.begin = 0;
    }
}

impl Pending<'_> {
    fn measure(&self, keys: &[u8], sender: &Sender, known: &mut Known, measure: &mut Measure) {
        let key = &keys[self.key.clone()];
        if self.is_measured {
            let role = known.role(key, sender, self.span, measure);
            self.show(role, measure);
            return;
        }
        let series = self.series.unwrap_or_else(|| known.series(key, sender, self.span, measure));
        measure.span(series, self.exemplar);
        self.show(series.role(), measure);
    }

    /// Shows it to the service graph.
    fn show(&self, role: RoleIndex, measure: &mut Measure) {
        if role.is_none() {
            return;
        }
        let mut links = Vec::new();
        if measure.graph.asks_for_links(role) {
            links.extend(walk::links(self.span).take(LINKS).flatten().map(|(trace, span)| (trace.0, span.0)));
        }
        let ends = Ends { span: self.exemplar, parent: self.parent, is_inside: self.is_inside, links: &links };
        measure.graph.span(role, &ends);
    }
}

/// Flags of a span: whether it is known where the parent is, and that it is in the same process.
const PARENT_IS_KNOWN: u32 = 0x300;
const PARENT_IS_INSIDE: u32 = 0x100;

fn is_end_of_request(kind: i32) -> bool {
    (2..=5).contains(&kind)
}
