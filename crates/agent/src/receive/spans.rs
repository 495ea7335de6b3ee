//! Requests of spans: one walk checks every field of a request, reads what is to be known of each span and finds its series; only
//! then is anything measured or handed on. Nothing is allocated for a span. What is kept of a request meanwhile is a few times as
//! large as the request at most, and the server reads one at a time.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use deliver::Signal;
use deliver::otlp::check::{self, Level};
use deliver::otlp::encode::UnixNanos;
use deliver::otlp::regroup::{Regrouped, Verdict, regroup};
use deliver::otlp::server::Refused;
use deliver::otlp::walk::{Field, Malformed, ResourceGroup, SpanFields, Whole};
use model::SOURCE_ATTRIBUTE;

use super::known::{Known, Sender};
use super::meter::{Meter, Noted};
use super::{FUTURE, Now, Received, Tally, count};
use crate::correlate::Correlator;

/// A span that took longer (ns) has no start: one such would make every sum of durations worthless.
const LONGEST: u64 = 30 * 24 * 3600 * 1_000_000_000;

/// Where spans go from here.
#[derive(Clone, Copy)]
enum Way<'r> {
    /// To the sinks, measured.
    On,
    /// The same, past the stage in which others would wait.
    Past(&'r Correlator),
    /// Into that stage, which has them measured when they leave.
    Wait,
}

/// A group that was read: `ResourceSpans`.
struct Group<'a> {
    sender: Sender,
    regrouped: Regrouped<'a>,
    noted: Noted<'a>,
    /// Where it stands in the request, with its tag.
    place: Range<usize>,
}

impl Received {
    /// Takes a request of spans, or nothing of it.
    pub(super) fn spans(&self, request: &Bytes, tally: &mut Tally) -> Result<(), Refused> {
        let now = Instant::now();
        let way = match self.correlator.as_deref() {
            None => Way::On,
            Some(correlator) if correlator.may_be_passed_by(now) => Way::Past(correlator),
            Some(_) => Way::Wait,
        };
        let mut known = self.meter.known();
        let mut reader = Reader {
            meter: &self.meter,
            measures: !matches!(way, Way::Wait),
            latest: UnixNanos::now().0.saturating_add(FUTURE),
            known: &mut known,
            tally,
        };
        let mut groups = reader.groups(request).map_err(|Malformed| malformed(request))?;
        self.find_room(Signal::Traces, request)?;
        for group in &mut groups {
            if let Way::Past(correlator) = way {
                group.leave_out(&correlator.passed_before(group.noted.ids(), now));
            }
            self.meter.measure(&mut group.noted, &group.sender, &mut known);
        }
        drop(known);
        for Group { sender, regrouped, place, .. } in groups {
            regrouped.batches(Signal::Traces, &sender.resource, request.slice(place), |batch| match way {
                Way::Past(correlator) => correlator.hand_on(&Arc::new(batch)),
                Way::On | Way::Wait => self.offer(batch, tally),
            });
        }
        Ok(())
    }
}

/// Reads a request, and changes nothing but what is known of senders.
struct Reader<'r> {
    meter: &'r Meter,
    /// Notes what is to be measured.
    measures: bool,
    /// Later spans have a clock that is wrong.
    latest: u64,
    known: &'r mut Known,
    tally: &'r mut Tally,
}

impl Reader<'_> {
    fn groups<'a>(&mut self, request: &'a [u8]) -> Result<Vec<Group<'a>>, Malformed> {
        let mut groups = Vec::new();
        let mut begin = 0;
        for (number, field, whole) in Whole::of(request) {
            let place = begin..begin + whole.len();
            begin = place.end;
            let (1, Field::Bytes(message)) = (number, field?) else {
                check::beside_spans(Level::Request, whole)?;
                continue;
            };
            let sender = self.known.sender(ResourceGroup::read(message)?.resource)?;
            let mut noted = Noted::default();
            let regrouped = regroup(message, |span| self.span(span, &sender, &mut noted))?;
            regrouped.check_beside_spans()?;
            if regrouped.records() > 0 {
                groups.push(Group { sender, regrouped, noted, place });
            }
        }
        Ok(groups)
    }

    fn span<'a>(&mut self, span: &'a [u8], sender: &Sender, noted: &mut Noted<'a>) -> Result<Verdict, Malformed> {
        let mut is_marked = false;
        let fields = check::span(span, |attribute, key_value| {
            is_marked |= attribute.key == SOURCE_ATTRIBUTE.as_bytes();
            if self.measures {
                self.meter.note(attribute, key_value, noted);
            }
        })?;
        if let Some(cause) = refusal(&fields, self.latest) {
            noted.skip();
            count(&mut self.tally.refused, cause);
            return Ok(Verdict::Refused);
        }
        if fields.end_unix_nano < fields.start_unix_nano {
            count(&mut self.tally.strange, "ends_before_it_starts");
        }
        self.tally.spans += 1;
        self.tally.roots += u64::from(fields.parent_span_id.is_none());
        if self.measures {
            noted.add(span, &fields, sender, self.known);
        }
        Ok(if is_marked { Verdict::Kept } else { Verdict::Marked })
    }
}

/// Why a span is not taken.
fn refusal(span: &SpanFields<'_>, latest: u64) -> Option<&'static str> {
    match () {
        () if span.trace_id.is_zero() => Some("no_trace_id"),
        () if span.span_id.is_zero() => Some("no_span_id"),
        () if span.start_unix_nano.max(span.end_unix_nano) > latest => Some("future"),
        () if span.duration_ns() > LONGEST => Some("too_long"),
        () => None,
    }
}

/// What is wrong with a request, in the words of who looks for nothing else.
fn malformed(request: &[u8]) -> Refused {
    let problem = check::request(Signal::Traces, request).err().map(|unsound| unsound.to_string());
    Refused::Malformed(problem.unwrap_or_else(|| Malformed.to_string()))
}

impl Group<'_> {
    /// Leaves out the spans at these places.
    fn leave_out(&mut self, places: &[usize]) {
        if places.is_empty() {
            return;
        }
        let is_kept = || {
            let (mut place, mut next) = (0, places.iter().peekable());
            move || {
                let is_kept = next.next_if_eq(&&place).is_none();
                place += 1;
                is_kept
            }
        };
        self.noted.retain(is_kept());
        self.regrouped.retain(is_kept());
    }
}
