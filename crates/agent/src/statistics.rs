//! What the agent says of itself.

use std::collections::BTreeMap;

use deliver::metrics::{OwnKind, OwnMetric};
use deliver::{QueueReport, Signal, SinkReport};
use record::ProgramCounters;

use crate::assemble::Assembled;
use crate::completeness::Completeness;
use crate::profile::ProfileCounts;
use crate::receive;

/// Numbers since the agent started.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Spans assembled.
    pub spans: u64,
    /// Of them, spans without a parent: the beginnings of traces.
    pub roots: u64,
    /// Of them, spans whose program ended first.
    pub unfinished: u64,
    /// Spans that are only numbers on their parents.
    pub folded: u64,
    /// Spans that left only their count (not sampled, or the ring was full).
    pub counted: u64,
    /// Spans that found their ring full.
    pub ring_full: u64,
    /// Log records.
    pub logs: u64,
    /// Log records that found too little room in their ring.
    pub ring_full_logs: u64,
    /// Log records of which the program had to cut something.
    pub cut_logs: u64,
    /// Samples of stacks.
    pub profile: ProfileCounts,
    /// What others have sent as OTLP.
    pub received: receive::Counts,
    /// Records, attributes, files and messages that made no sense, by cause.
    pub faults: BTreeMap<&'static str, u64>,
    /// How often programs have met the limits of their memory.
    pub limits: ProgramCounters,
    /// Programs seen.
    pub sessions: u64,
    /// Programs that are running now.
    pub active: u64,
    /// Programs that were refused, and why.
    pub refused: BTreeMap<u32, String>,
    /// Processes that are observed without being woven, and by how many observers.
    pub observed: BTreeMap<u32, usize>,
    /// How many there have been.
    pub observed_ever: u64,
    /// Processes that were to be observed: what is not observed of them, and why.
    pub not_observed: BTreeMap<u32, Vec<String>>,
    /// What observers have lost, by cause.
    pub losses: BTreeMap<&'static str, u64>,
    /// Requests of observed processes, as the kernel saw them and as spans tell of them.
    pub completeness: Completeness,
    /// How often processes to observe have been looked for.
    pub looked: u64,
    /// How often observers were asked to observe a process.
    pub asked: u64,
    /// How often they have answered that.
    pub answered: u64,
    /// Calls of functions that were switched on, by the functions' names.
    pub functions: BTreeMap<String, FunctionCalls>,
}

/// Calls of a function while it was switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionCalls {
    /// All of them.
    pub calls: u64,
    /// Those that got no span, as there were too many a second.
    pub limited: u64,
}

/// Functions that are told apart; what is more is counted as one.
const FUNCTIONS_LIMIT: usize = 4096;
const OTHER_FUNCTIONS: &str = "other";
/// Processes of which it is remembered what is not observed.
const NOT_OBSERVED_LIMIT: usize = 1000;

impl Statistics {
    /// Counts a span.
    #[inline]
    pub(crate) fn count(&mut self, span: Assembled) {
        self.spans += 1;
        self.roots += u64::from(span.root);
        self.unfinished += u64::from(span.unfinished);
        self.folded += u64::from(span.folded);
    }

    /// Counts what a program has added to its own counters. Numbers that go down are its own affair.
    pub(crate) fn met_limits(&mut self, before: ProgramCounters, now: ProgramCounters) {
        let add = |sum: &mut u64, before: u64, now: u64| *sum = sum.saturating_add(now.saturating_sub(before));
        add(&mut self.limits.lost_entries, before.lost_entries, now.lost_entries);
        add(&mut self.limits.cut_attributes, before.cut_attributes, now.cut_attributes);
        add(&mut self.limits.lost_names, before.lost_names, now.lost_names);
    }

    /// An observer has looked at a process: whether it observes it, and what it leaves out.
    pub(crate) fn looked_at(&mut self, pid: u32, observed: bool, left_out: Vec<String>) {
        self.answered += 1;
        if observed {
            let observers = self.observed.entry(pid).or_default();
            self.observed_ever += u64::from(*observers == 0);
            *observers += 1;
        }
        if !left_out.is_empty()
            && (self.not_observed.len() < NOT_OBSERVED_LIMIT || self.not_observed.contains_key(&pid))
        {
            self.not_observed.entry(pid).or_default().extend(left_out);
        }
    }

    /// An observer has ended with a process.
    pub(crate) fn no_longer_observed(&mut self, pid: u32) {
        if let Some(observers) = self.observed.get_mut(&pid) {
            *observers -= 1;
            if *observers == 0 {
                self.observed.remove(&pid);
            }
        }
    }

    /// Counts what an observer has lost.
    pub(crate) fn lost_observed(&mut self, cause: &'static str, count: u64) {
        if count > 0 {
            let counter = self.losses.entry(cause).or_default();
            *counter = counter.saturating_add(count);
        }
    }

    /// Counts something that made no sense.
    pub fn fault(&mut self, cause: &'static str, count: u64) {
        let counter = self.faults.entry(cause).or_default();
        *counter = counter.saturating_add(count);
    }

    /// Counts calls of a function that is switched on.
    pub(crate) fn called(&mut self, function: &str, calls: u64, limited: u64) {
        let is_known = self.functions.contains_key(function) || self.functions.len() < FUNCTIONS_LIMIT;
        let name = if is_known { function } else { OTHER_FUNCTIONS };
        let counted = self.functions.entry(name.to_owned()).or_default();
        counted.calls = counted.calls.saturating_add(calls);
        counted.limited = counted.limited.saturating_add(limited);
    }

    /// As metrics.
    pub fn metrics(&self, sinks: &BTreeMap<&'static str, SinkReport>) -> Vec<OwnMetric> {
        let one = |name, help, kind, number| OwnMetric {
            name,
            help,
            kind,
            label: None,
            points: vec![(String::new(), number)],
        };
        let by =
            |name, help, label, points| OwnMetric { name, help, kind: OwnKind::Counter, label: Some(label), points };
        let causes = |counts: &BTreeMap<&'static str, u64>| {
            counts.iter().map(|(cause, &count)| ((*cause).to_owned(), count)).collect::<Vec<_>>()
        };
        let of = |signal| sinks.iter().filter(move |(_, report)| report.signal == signal);
        let dropped = |signal, ring_full| {
            let mut dropped: Vec<(String, u64)> = vec![("ring_full".to_owned(), ring_full)];
            for (sink, report) in of(signal) {
                dropped.extend(report.dropped.iter().map(|(cause, &count)| (format!("{sink}_{cause}"), count)));
            }
            dropped
        };
        let delivered = |signal| of(signal).map(|(sink, report)| ((*sink).to_owned(), report.delivered)).collect();
        let functions = |number: fn(&FunctionCalls) -> u64| {
            self.functions.iter().map(|(name, calls)| (name.clone(), number(calls))).collect::<Vec<_>>()
        };
        let queued = |name, help, kind, number: fn(&QueueReport) -> u64| {
            let of_sink =
                |(sink, report): (&&str, &SinkReport)| Some(((*sink).to_owned(), number(report.queue.as_ref()?)));
            OwnMetric { name, help, kind, label: Some("sink"), points: sinks.iter().filter_map(of_sink).collect() }
        };
        vec![
            by(
                "tandem_function_calls_total",
                "Calls of functions while they were switched on.",
                "function",
                functions(|counted| counted.calls),
            ),
            by(
                "tandem_function_calls_limited_total",
                "Calls of functions that were switched on and got no span, being beyond their limit.",
                "function",
                functions(|counted| counted.limited),
            ),
            one("tandem_spans_total", "Spans taken from programs.", OwnKind::Counter, self.spans),
            one("tandem_spans_unfinished_total", "Spans whose program ended first.", OwnKind::Counter, self.unfinished),
            one(
                "tandem_spans_folded_total",
                "Spans that are only numbers on their parents, being short and alike.",
                OwnKind::Counter,
                self.folded,
            ),
            one("tandem_spans_counted_total", "Spans that left only their count.", OwnKind::Counter, self.counted),
            by(
                "tandem_spans_dropped_total",
                "Spans that were lost, by cause.",
                "cause",
                dropped(Signal::Traces, self.ring_full),
            ),
            by("tandem_spans_delivered_total", "Spans handed over, by destination.", "sink", delivered(Signal::Traces)),
            one("tandem_logs_total", "Log records taken from programs.", OwnKind::Counter, self.logs),
            one("tandem_logs_cut_total", "Log records of which something was cut.", OwnKind::Counter, self.cut_logs),
            by(
                "tandem_logs_dropped_total",
                "Log records that were lost, by cause.",
                "cause",
                dropped(Signal::Logs, self.ring_full_logs),
            ),
            by(
                "tandem_logs_delivered_total",
                "Log records handed over, by destination.",
                "sink",
                delivered(Signal::Logs),
            ),
            one(
                "tandem_profile_samples_total",
                "Samples of stacks taken from programs.",
                OwnKind::Counter,
                self.profile.samples,
            ),
            by(
                "tandem_profile_samples_dropped_total",
                "Samples of stacks that were lost, by cause.",
                "cause",
                of(Signal::Profiles)
                    .flat_map(|(sink, report)| {
                        report.dropped.iter().map(move |(cause, &count)| (format!("{sink}_{cause}"), count))
                    })
                    .chain([("kernel".to_owned(), self.profile.lost)])
                    .collect(),
            ),
            by(
                "tandem_profile_samples_delivered_total",
                "Samples of stacks handed over, by destination.",
                "sink",
                delivered(Signal::Profiles),
            ),
            by(
                "tandem_faults_total",
                "Records, attributes and messages that made no sense, by cause.",
                "cause",
                self.faults.iter().map(|(cause, &count)| ((*cause).to_owned(), count)).collect(),
            ),
            by(
                "tandem_program_limits_total",
                "What found no room in programs' memory: spans in the in-flight table, attributes in records, names in tables.",
                "what",
                vec![
                    ("span".to_owned(), self.limits.lost_entries),
                    ("attribute".to_owned(), self.limits.cut_attributes),
                    ("name".to_owned(), self.limits.lost_names),
                ],
            ),
            by(
                "tandem_observed_lost_total",
                "What was lost of programs that are observed without being woven, by cause.",
                "cause",
                self.losses.iter().map(|(cause, &count)| ((*cause).to_owned(), count)).collect(),
            ),
            one(
                "tandem_observed_programs",
                "Programs that are observed without being woven.",
                OwnKind::Gauge,
                self.observed.len() as u64,
            ),
            one(
                "tandem_observers_busy",
                "Times that an observer was asked to observe a program and has not yet answered.",
                OwnKind::Gauge,
                self.asked.saturating_sub(self.answered),
            ),
            by(
                "tandem_requests_seen_total",
                "Requests that observed programs have answered, as the kernel saw them on their sockets.",
                "service",
                self.completeness.services().map(|(service, requests)| (service.to_owned(), requests.seen)).collect(),
            ),
            by(
                "tandem_requests_told_total",
                "Of the same programs, requests that a span or a count tells of.",
                "service",
                self.completeness.services().map(|(service, requests)| (service.to_owned(), requests.told)).collect(),
            ),
            by(
                "tandem_received_total",
                "Spans, log records and data points of metrics that were received as OTLP.",
                "signal",
                vec![
                    ("traces".to_owned(), self.received.spans),
                    ("logs".to_owned(), self.received.logs),
                    ("metrics".to_owned(), self.received.points),
                ],
            ),
            by(
                "tandem_received_refused_total",
                "Spans, log records and data points that were left out of requests, by cause; their sender was told.",
                "cause",
                causes(&self.received.refused_records),
            ),
            by(
                "tandem_received_requests_refused_total",
                "Requests and connections that were refused, by cause.",
                "cause",
                causes(&self.received.refused),
            ),
            by(
                "tandem_received_strange_total",
                "Spans that were taken although they are strange, by what is.",
                "what",
                causes(&self.received.strange),
            ),
            queued(
                "tandem_queue_records",
                "What waits for a receiver elsewhere: spans, log records, samples.",
                OwnKind::Gauge,
                |queue| queue.records,
            ),
            queued("tandem_queue_bytes", "The same in bytes, most of them on disk.", OwnKind::Gauge, |queue| {
                queue.bytes
            }),
            queued(
                "tandem_queue_oldest_age_seconds",
                "How long the oldest of it has waited.",
                OwnKind::Gauge,
                |queue| queue.oldest.as_secs(),
            ),
            queued("tandem_queue_retries_total", "Requests that have to be sent again.", OwnKind::Counter, |queue| {
                queue.retries
            }),
            one("tandem_sessions_total", "Programs seen.", OwnKind::Counter, self.sessions),
            one("tandem_sessions", "Programs that are running now.", OwnKind::Gauge, self.active),
        ]
    }
}
