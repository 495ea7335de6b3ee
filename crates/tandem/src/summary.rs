//! What `tandem run`, `tandem agent` and `tandem attach` say at their end.

use agent::Outcome;
use agent::receive::Counts as Received;
use agent::sample::Counts as Sampled;
use deliver::Signal;

use crate::observe::Scope;

/// What there was, in a line, and in a line each what was lost and why.
pub fn summary(outcome: &Outcome, traces_command: &str, scope: Scope) -> Vec<String> {
    let statistics = &outcome.statistics;
    let received = &statistics.received;
    if statistics.sessions + statistics.observed_ever == 0 {
        let mut lines = match scope {
            Scope::Observed => Vec::new(), // whoever wanted them has said it
            _ if !received.is_empty() => Vec::new(),
            _ => vec!["no woven program has connected; build it with `tandem go build`".to_owned()],
        };
        lines.extend(received_lines(received, traces_command));
        lines.extend(deliveries(outcome));
        lines.extend(refusals(outcome));
        return lines;
    }
    let programs = plural(statistics.sessions + statistics.observed_ever, "program");
    let spans = plural(statistics.spans, "span");
    let traces =
        if statistics.roots > 0 { format!(" in {}", plural(statistics.roots, "trace")) } else { String::new() };
    let mut lines = match statistics.spans {
        0 if statistics.counted > 0 => {
            vec![format!("{programs}, {} counted, none sampled", plural(statistics.counted, "span"))]
        }
        0 => vec![format!("{programs}, no spans")],
        _ => {
            let folded = match statistics.folded {
                0 => String::new(),
                folded => format!(", {folded} of them folded,"),
            };
            vec![format!("{spans}{traces}{folded} from {programs}; see them with: {traces_command}")]
        }
    };
    if statistics.unfinished > 0 {
        lines.push(format!("{} unfinished when the program ended", plural(statistics.unfinished, "span")));
    }
    if statistics.ring_full > 0 {
        lines.push(format!(
            "warning: {} lost: the program made them faster than they could be taken",
            plural(statistics.ring_full, "span")
        ));
    }
    let lost: Vec<_> = statistics.losses.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
    if !lost.is_empty() {
        lines.push(format!("warning: of programs that are not woven was lost: {}", lost.join(", ")));
    }
    lines.extend(statistics.completeness.services().filter_map(|(service, requests)| {
        let share = requests.completeness()?;
        let (told, seen) = (requests.told.min(requests.seen), plural(requests.seen, "request"));
        Some(match told == requests.seen {
            true => format!("{service}: all of {seen} that the kernel saw are told"),
            false => {
                format!("warning: {service}: of {seen} that the kernel saw {told} are told ({:.2} %)", share * 100.0)
            }
        })
    }));
    if statistics.logs > 0 {
        let command = traces_command.replacen("traces", "logs", 1);
        lines.push(format!("{}; see them with: {command}", plural(statistics.logs, Signal::Logs.noun())));
    }
    if statistics.ring_full_logs > 0 {
        lines.push(format!(
            "warning: {} lost: the program made them faster than they could be taken",
            plural(statistics.ring_full_logs, Signal::Logs.noun())
        ));
    }
    if statistics.cut_logs > 0 {
        lines.push(format!("{} cut, being too long", plural(statistics.cut_logs, Signal::Logs.noun())));
    }
    let profile = &statistics.profile;
    if profile.samples > 0 {
        let command = traces_command.replacen("traces", "profile", 1);
        let samples = plural(profile.samples, Signal::Profiles.noun());
        lines.push(format!("{samples}, {} in spans; see them with: {command}", profile.in_span));
    }
    if profile.lost > 0 {
        lines.push(format!(
            "warning: {} lost: nobody took them in time, or their stack could not be read",
            plural(profile.lost, Signal::Profiles.noun())
        ));
    }
    let limited = statistics.functions.iter().filter(|(_, counted)| counted.limited > 0);
    lines.extend(limited.map(|(name, counted)| {
        format!(
            "{name}: {} of {} got no span, being beyond the limit of `tandem enable`",
            counted.limited,
            plural(counted.calls, "call")
        )
    }));
    lines.extend(received_lines(received, traces_command));
    lines.extend(deliveries(outcome));
    lines.extend(refusals(outcome));
    lines
}

/// What others have sent, in a line, and what was refused of it.
fn received_lines(received: &Received, traces_command: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let taken = [
        (received.spans, Signal::Traces.noun()),
        (received.logs, Signal::Logs.noun()),
        (received.points, "data point"),
    ];
    let taken: Vec<_> =
        taken.iter().filter(|(count, _)| *count > 0).map(|(count, what)| plural(*count, what)).collect();
    if !taken.is_empty() {
        lines.push(format!("received {}; see traces with: {traces_command}", taken.join(", ")));
    }
    for (what, causes) in [("records", &received.refused_records), ("requests", &received.refused)] {
        if !causes.is_empty() {
            let causes: Vec<_> = causes.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
            lines.push(format!("warning: received {what} that were refused: {}", causes.join(", ")));
        }
    }
    lines
}

/// What waits, and what was lost on its way out.
fn deliveries(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for (sink, report) in &outcome.sinks {
        if let Some(queue) = report.queue.filter(|queue| queue.is_kept && queue.records > 0) {
            let verb = if queue.records == 1 { "waits" } else { "wait" };
            let waits = format!("{} {verb} on disk for the next start", plural(queue.records, report.signal.noun()));
            lines.push(match &report.problem {
                Some(problem) => format!("warning: {sink}: {waits}: {problem}"),
                None => format!("{sink}: {waits}"),
            });
        }
        let lost: u64 = report.dropped.values().sum();
        if lost > 0 {
            let causes: Vec<_> = report.dropped.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
            let problem = report.problem.as_deref().map(|problem| format!(": {problem}")).unwrap_or_default();
            lines.push(format!(
                "warning: {sink}: {} lost ({}){problem}",
                plural(lost, report.signal.noun()),
                causes.join(", ")
            ));
        }
    }
    lines
}

/// What was kept, and by which policies.
pub fn sampled(counts: &Sampled, policies: &[String], traces_command: &str) -> String {
    let (kept, all) = (counts.kept_traces(), counts.kept_traces() + counts.dropped_traces());
    let by_policy = policies.iter().zip(&counts.kept).filter(|(_, kept)| **kept > 0);
    let by_policy: Vec<_> = by_policy.map(|(policy, kept)| format!("{policy} {kept}")).collect();
    let mut line = format!("sampling kept {kept} of {}", plural(all, "trace"));
    if !by_policy.is_empty() {
        line += &format!(" ({}); see why with: {traces_command} --why", by_policy.join(", "));
    }
    line
}

/// What made no sense, where anything did.
fn refusals(outcome: &Outcome) -> Option<String> {
    let faults: Vec<_> = outcome.statistics.faults.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
    (!faults.is_empty()).then(|| format!("warning: some of what programs wrote made no sense: {}", faults.join(", ")))
}

fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent::Statistics;
    use deliver::{QueueReport, SinkReport};

    fn outcome(statistics: Statistics) -> Outcome {
        Outcome { statistics, sinks: Default::default() }
    }

    #[test]
    fn what_sampling_kept_is_said_with_its_policies() {
        let counts = Sampled { kept: vec![3, 0, 9], unwanted: 328, ..Sampled::default() };
        let policies = ["errors", "novel", "slow"].map(str::to_owned);
        assert_eq!(
            sampled(&counts, &policies, "tandem traces"),
            "sampling kept 12 of 340 traces (errors 3, slow 9); see why with: tandem traces --why"
        );
        assert_eq!(sampled(&Sampled::default(), &policies, "tandem traces"), "sampling kept 0 of 0 traces");
    }

    /// The usual end is one line; what was lost is said with its cause.
    #[test]
    fn the_summary_is_short_and_hides_nothing() {
        let nothing = summary(&outcome(Statistics::default()), "tandem traces", Scope::Program);
        assert_eq!(nothing, ["no woven program has connected; build it with `tandem go build`"]);
        assert!(summary(&outcome(Statistics::default()), "tandem traces", Scope::Observed).is_empty());
        let good = Statistics { spans: 12, roots: 1, sessions: 2, ..Statistics::default() };
        assert_eq!(
            summary(&outcome(good.clone()), "tandem traces", Scope::Program),
            ["12 spans in 1 trace from 2 programs; see them with: tandem traces"]
        );
        let noisy = Statistics { spans: 7000, folded: 6900, ..good.clone() };
        assert_eq!(
            summary(&outcome(noisy), "tandem traces", Scope::Program),
            ["7000 spans in 1 trace, 6900 of them folded, from 2 programs; see them with: tandem traces"]
        );
        let mut bad = outcome(Statistics { unfinished: 1, ring_full: 3, ..good });
        let report = SinkReport {
            delivered: 2,
            dropped: [("unreachable", 10)].into(),
            signal: Signal::Traces,
            problem: Some("connection refused".to_owned()),
            queue: None,
        };
        bad.sinks.insert("otlp", report);
        assert_eq!(
            summary(&bad, "tandem traces", Scope::Program)[1..],
            [
                "1 span unfinished when the program ended",
                "warning: 3 spans lost: the program made them faster than they could be taken",
                "warning: otlp: 10 spans lost (unreachable 10): connection refused",
            ]
        );
        let queue = QueueReport { records: 7, is_kept: true, ..QueueReport::default() };
        let waiting = SinkReport { queue: Some(queue), ..SinkReport::default() };
        let mut kept = outcome(Statistics::default());
        kept.sinks.insert("otlp", waiting);
        assert_eq!(
            summary(&kept, "tandem traces", Scope::Program)[1..],
            ["otlp: 7 spans wait on disk for the next start"]
        );
    }
}
