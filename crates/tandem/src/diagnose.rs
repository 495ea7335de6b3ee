//! `tandem diagnose`: why some requests are slow, from what is in the store.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use diagnose::{Cause, CauseKind, Diagnosis, FEWEST_REQUESTS, Facts, Question, Sample, Split, Verdict};
use model::{Span, format_duration};
use store::{Follower, ProfileFilter, Reader, TraceFilter};

use crate::follow::{self, Told};
use crate::terminal::{self, BOLD, DIM, Layout, NOTICE, clean, wrap};
use crate::traces::{StoreFolder, ago, duration, explain_nothing};

/// Say why some requests are slow: compares them with the others of their route.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Diagnose {
    /// Only requests whose route or name contains this text [default: all that come from outside].
    #[arg(long, value_name = "TEXT")]
    route: Option<String>,
    /// Only requests that this service answers.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only what began within this time: 10m, 2h, 7d.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1h")]
    since: u64,
    /// Slow is what took longer than this [default: the slowest twentieth].
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "baseline")]
    slower_than: Option<u64>,
    /// Compare all requests since then with those of so long before.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    baseline: Option<u64>,
    /// Show so many routes.
    #[arg(long, value_name = "N", default_value_t = 3)]
    limit: usize,
    /// Diagnose again as traces come, until Ctrl-C, and say what has been found anew.
    #[arg(long, short)]
    follow: bool,
    /// One JSON object a route and line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreFolder,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem diagnose                            # the three routes with the most extra time, of the last hour
  tandem diagnose --route 'POST /checkout'   # of one route
  tandem diagnose --since 10m --baseline 1d  # the last ten minutes against the day before
  tandem diagnose --slower-than 300ms        # slow is what you say
  tandem diagnose --since 5m --follow        # again as traces come, until Ctrl-C

Exit codes: 0, also when there is too little to compare; 1 when the store cannot be read. docs/diagnose.md explains the causes.";

/// The newest traces and samples that are looked at: more make nothing clearer.
const MOST_TRACES: usize = 20_000;
const MOST_SAMPLES: usize = 200_000;

/// How often traces that come are looked for.
const LOOK: Duration = Duration::from_secs(5);

impl Diagnose {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
            let reader = Reader::open(&self.store.path())?;
            if self.follow {
                return self.go_on(out, &reader);
            }
            let found = self.look(&reader)?;
            explain(&reader, found.as_deref())?;
            let found = found.unwrap_or_default();
            if self.json {
                found.iter().try_for_each(|diagnosis| terminal::json_line(out, diagnosis))?;
            } else {
                self.print(out, &found)?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    /// Says what is found, and again when something else is; as JSON the routes of which something else is found.
    fn go_on(&self, out: &mut dyn Write, reader: &Reader) -> anyhow::Result<ExitCode> {
        let mut follower = Follower::new(reader)?;
        let mut is_first = true;
        let mut look = || {
            let came = follower.look(reader, &TraceFilter::default())?;
            let is_first = std::mem::take(&mut is_first);
            if came.is_empty() && !is_first {
                return Ok(None);
            }
            let found = self.look(reader)?;
            if is_first {
                explain(reader, found.as_deref())?;
                eprintln!("tandem: looking again as traces come; Ctrl-C ends it");
            }
            Ok::<_, anyhow::Error>(found.filter(|found| !found.is_empty()))
        };
        let mut told = Told::default();
        if self.json {
            let mut tell = |out: &mut dyn Write| {
                let found = look()?.unwrap_or_default();
                let news = told.news(&found, Finding::of);
                Ok(news.into_iter().try_for_each(|diagnosis| terminal::json_line(out, diagnosis))?)
            };
            tell(out)?;
            return follow::go_on(out, LOOK, tell);
        }
        follow::show_anew(out, LOOK, || {
            let Some(found) = look()? else { return Ok(None) };
            // In place figures may change as they like; copies are worth their lines only with news.
            if told.news(&found, Finding::of).is_empty() && !follow::draws_in_place() {
                return Ok(None);
            }
            let mut text = Vec::new();
            self.print(&mut text, &found)?;
            Ok(Some(String::from_utf8(text)?))
        })
    }

    /// What there is to be said now.
    fn look(&self, reader: &Reader) -> anyhow::Result<Option<Vec<Diagnosis>>> {
        let since = ago(self.since);
        let earliest = since.saturating_sub(self.baseline.unwrap_or(0));
        let question = Question { route: self.route.clone(), service: self.service.clone(), split: self.split(since) };
        let mut found = found(reader, earliest, &question)?;
        if let Some(found) = &mut found {
            found.truncate(self.limit);
        }
        Ok(found)
    }

    fn split(&self, since: u64) -> Split {
        match (self.slower_than, self.baseline) {
            (Some(limit), _) => Split::LongerThan(limit),
            (None, Some(_)) => Split::Since(since),
            (None, None) => Split::Tail,
        }
    }

    fn print(&self, out: &mut dyn Write, found: &[Diagnosis]) -> std::io::Result<()> {
        let printer = Printer { layout: Layout::of_stdout(), split: self.split(0) };
        for (index, diagnosis) in found.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            printer.diagnosis(out, diagnosis)?;
        }
        Ok(())
    }
}

/// Says why there is nothing to say.
fn explain(reader: &Reader, found: Option<&[Diagnosis]>) -> anyhow::Result<()> {
    match found {
        None => explain_nothing(reader)?,
        Some([]) => eprintln!("no request fits; tandem traces lists what there is"),
        Some(_) => {}
    }
    Ok(())
}

/// What of a diagnosis is another finding when it changes: not its figures.
#[derive(PartialEq, Eq, Hash)]
struct Finding {
    service: String,
    operation: String,
    verdict: Verdict,
    /// Kind and place; which one is the largest is another finding, too.
    largest: Option<(CauseKind, String, String)>,
    causes: BTreeSet<(CauseKind, String, String)>,
}

impl Finding {
    /// Causes of a smaller share come and go with every few traces.
    const LEAST_SHARE: f64 = 0.1;

    fn of(diagnosis: &Diagnosis) -> Self {
        let place = |cause: &Cause| (cause.kind, cause.service.clone(), cause.operation.clone());
        let telling = diagnosis.causes.iter().filter(|cause| cause.share >= Self::LEAST_SHARE);
        Self {
            service: diagnosis.service.clone(),
            operation: diagnosis.operation.clone(),
            verdict: diagnosis.verdict,
            largest: diagnosis.causes.first().map(place),
            causes: telling.map(place).collect(),
        }
    }
}

/// What is to be said of requests since then; `None`: there is no trace.
pub fn found(reader: &Reader, since: u64, question: &Question) -> anyhow::Result<Option<Vec<Diagnosis>>> {
    let traces = traces(reader, since)?;
    if traces.is_empty() {
        return Ok(None);
    }
    let samples = samples(reader, since)?;
    Ok(Some(diagnose::diagnose(Facts { traces: &traces, samples: &samples }, question)))
}

/// All traces since then, of all routes: what else a program did at the time tells why a request had to wait.
fn traces(reader: &Reader, since: u64) -> anyhow::Result<Vec<Vec<Span>>> {
    let filter = TraceFilter { since_unix_nano: Some(since), limit: MOST_TRACES, ..TraceFilter::default() };
    let traces = reader.whole_traces(&filter, u64::MAX)?;
    Ok(traces.into_iter().map(|trace| trace.spans).collect())
}

fn samples(reader: &Reader, since: u64) -> anyhow::Result<Vec<Sample>> {
    let filter = ProfileFilter { since_unix_nano: Some(since), limit: MOST_SAMPLES, ..ProfileFilter::default() };
    Ok(reader.profile(&filter)?.into_iter().map(Sample::from).collect())
}

struct Printer {
    layout: Layout,
    split: Split,
}

impl Printer {
    fn diagnosis(&self, out: &mut dyn Write, diagnosis: &Diagnosis) -> std::io::Result<()> {
        let layout = self.layout;
        let title = format!("{}: {}", clean(&diagnosis.service), clean(&diagnosis.operation));
        writeln!(out, "{}", layout.paint(BOLD, title))?;
        let (slow, normal) = match self.split {
            Split::Tail => ("slowest", "in the middle"),
            Split::LongerThan(_) => ("slow", "others"),
            Split::Since(_) => ("since then slower than 95 % of those before", "before"),
        };
        let facts = format!(
            "{} requests: {} {slow}, median {}, against {} {normal}, median {}",
            diagnosis.requests,
            diagnosis.slow,
            format_duration(diagnosis.slow_ns),
            diagnosis.normal,
            format_duration(diagnosis.normal_ns),
        );
        self.lines(out, "", &facts)?;
        match diagnosis.verdict {
            Verdict::TooFew => {
                let why = if diagnosis.requests < FEWEST_REQUESTS {
                    format!("too few to compare: it takes {FEWEST_REQUESTS}; choose a longer time with --since")
                } else {
                    "too few on one of the sides to compare them".to_owned()
                };
                return self.lines(out, "  ", &why);
            }
            Verdict::Even => {
                let even = match self.split {
                    Split::Since(_) => "no more of them are slow than before",
                    Split::Tail | Split::LongerThan(_) => "the slow ones take hardly longer than the others",
                };
                return self.lines(out, "  ", even);
            }
            Verdict::Explained => {}
        }
        for (index, cause) in diagnosis.causes.iter().enumerate() {
            self.cause(out, index, cause)?;
        }
        if diagnosis.rest >= 0.01 {
            let rest = format!("{:.0} % of the extra time is in smaller pieces", diagnosis.rest * 100.0);
            writeln!(out, "\n  {}", layout.paint(DIM, rest))?;
        }
        if !diagnosis.common.is_empty() {
            writeln!(out, "\n  {}", layout.paint(BOLD, "what the slow ones have in common"))?;
        }
        for common in &diagnosis.common {
            let line = format!(
                "{}={}: {:.0} % of the slow, {:.0} % of the others",
                clean(&common.key),
                clean(&common.value),
                common.slow * 100.0,
                common.normal * 100.0
            );
            self.lines(out, "    ", &line)?;
        }
        Ok(())
    }

    fn cause(&self, out: &mut dyn Write, index: usize, cause: &Cause) -> std::io::Result<()> {
        let layout = self.layout;
        let share = format!("{:>3.0} %", cause.share * 100.0);
        let style = if index == 0 { NOTICE } else { BOLD };
        writeln!(out, "\n  {}  {}", layout.paint(style, share), layout.paint(style, cause.kind))?;
        let place = format!(
            "in {}: {}: {} instead of {}",
            clean(&cause.service),
            clean(&cause.operation),
            format_duration(cause.slow_ns),
            format_duration(cause.normal_ns)
        );
        self.lines(out, "         ", &place)?;
        // The first cause is what people came for; of the others one sentence will do.
        let evidence = if index == 0 { cause.evidence.len() } else { 1 };
        for sentence in cause.evidence.iter().take(evidence) {
            self.lines(out, "         ", &clean(sentence))?;
        }
        let ids: Vec<String> = cause.traces.iter().map(|id| id.to_string()[..8].to_owned()).collect();
        self.lines(out, "         ", &format!("traces: {}", ids.join(" ")))?;
        self.lines(out, "         ", &format!("next: {}", clean(&cause.next)))
    }

    fn lines(&self, out: &mut dyn Write, indent: &str, text: &str) -> std::io::Result<()> {
        for line in wrap(text, self.layout.columns.saturating_sub(indent.len())) {
            writeln!(out, "{indent}{line}")?;
        }
        Ok(())
    }
}
