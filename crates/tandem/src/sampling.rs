//! `tandem sampling`: what a sampling configuration would keep of the traces in the store.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ::agent::sample::POLICY_ATTRIBUTE;
use ::agent::sample::trace::{Trace, TraceSpan};
use ::agent::sample::trial::{PolicyTrial, Trial};
use ::agent::{Settings, SettingsError};
use anyhow::{Context, bail};
use clap::Args;
use model::format_duration;
use serde_json::json;
use store::{OtlpRecord, Reader, TraceFilter};

use crate::terminal::{self, BOLD, DIM, Layout, clean};
use crate::traces::{StoreFolder, ago, duration, explain_nothing};

/// Say what a sampling configuration would keep of the traces in the store, without keeping or dropping anything.
///
/// Let an agent store all traces for a while, write `sampling:` (docs/agent.md) into a file, and see what comes of it.
///
/// FITS are the traces that a policy votes for. DECIDES are those of them that `tandem traces --why` would put down to it: it is
/// the first that fits. ALONE are those that would not be kept (or dropped) without it: what the policy is worth.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Sampling {
    /// The file with the configuration: an agent.yaml.
    #[arg(long, value_name = "FILE")]
    dry_run: PathBuf,
    /// Only traces that began within this time: 10m, 2h, 7d.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<u64>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreFolder,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem sampling --dry-run agent.yaml              # of all traces in the store
  tandem sampling --dry-run agent.yaml --since 1d   # of the last day

Exit codes: 0; 1 when the store cannot be read; 3 when the configuration cannot be used.";

/// How long reading a whole store may take.
const LONGEST_QUERY: Duration = Duration::from_secs(600);
/// A configuration that cannot be used.
const WRONG: u8 = 3;

/// What the traces themselves tell beside the trial.
#[derive(Default)]
struct Seen {
    longest_ns: u64,
    sampled_already: u64,
}

impl Sampling {
    pub fn run(self) -> ExitCode {
        let trial = match self.trial() {
            Ok(trial) => trial,
            Err(error) => {
                eprintln!("tandem: {error:#}");
                return ExitCode::from(WRONG);
            }
        };
        terminal::report(|out| {
            let mut trial = trial;
            let reader = Reader::open(&self.store.path())?.with_longest_query(LONGEST_QUERY);
            let seen = self.look(&reader, &mut trial)?;
            if self.json {
                writeln!(out, "{}", as_json(&trial))?;
            } else if trial.traces == 0 {
                explain_nothing(&reader)?;
            } else {
                print(out, &trial, &seen, Layout::of_stdout()).context("cannot write")?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    fn trial(&self) -> anyhow::Result<Trial> {
        let settings = Settings::read(&self.dry_run).map_err(|error: SettingsError| anyhow::anyhow!(error))?;
        let file = self.dry_run.display();
        let Some(sampling) = settings.sampling else {
            bail!("{file} has no `sampling:`; with it agents keep all traces (docs/agent.md)");
        };
        Trial::new(&sampling).map_err(|problem| anyhow::anyhow!("{file}: {}", problem.text))
    }

    /// Shows the trial one trace after the other, as they came.
    fn look(&self, reader: &Reader, trial: &mut Trial) -> anyhow::Result<Seen> {
        let filter = TraceFilter { since_unix_nano: self.since.map(ago), limit: usize::MAX, ..TraceFilter::default() };
        let (mut seen, mut now) = (Seen::default(), Duration::ZERO);
        for summary in reader.traces(&filter)?.iter().rev() {
            let stored = reader.otlp_spans(summary.trace_id)?;
            let spans: Vec<TraceSpan<'_>> = stored.iter().filter_map(read).collect();
            let trace = Trace::new(summary.trace_id, &spans);
            now = now.max(Duration::from_nanos(trace.end));
            trial.look(&trace, now);
            seen.longest_ns = seen.longest_ns.max(trace.duration_ns());
            seen.sampled_already += u64::from(spans.iter().any(|span| span.has(POLICY_ATTRIBUTE, |_| true)));
        }
        Ok(seen)
    }
}

fn read(stored: &OtlpRecord) -> Option<TraceSpan<'_>> {
    TraceSpan::read(&stored.record, &stored.resource).ok()
}

fn as_json(trial: &Trial) -> serde_json::Value {
    let policies: Vec<_> = trial
        .by_policy
        .iter()
        .map(|PolicyTrial { name, kind, drops, fits, decides, alone }| {
            json!({ "name": name, "type": kind, "drops": drops, "fits": fits, "decides": decides, "alone": alone })
        })
        .collect();
    json!({
        "traces": trial.traces, "kept_traces": trial.kept_traces,
        "spans": trial.spans, "kept_spans": trial.kept_spans,
        "bytes": trial.bytes, "kept_bytes": trial.kept_bytes,
        "policies": policies,
    })
}

fn print(out: &mut dyn Write, trial: &Trial, seen: &Seen, layout: Layout) -> std::io::Result<()> {
    let share = |kept: u64, all: u64| 100.0 * kept as f64 / all.max(1) as f64;
    let line =
        |what: &str, all: String, kept: String, share: f64| format!("{what:<8}{all:>10}{kept:>10}{share:>8.1} %");
    writeln!(out, "{}", layout.paint(DIM, format!("{:<8}{:>10}{:>10}{:>10}", "", "STORED", "KEPT", "SHARE")))?;
    for (what, all, kept) in [("traces", trial.traces, trial.kept_traces), ("spans", trial.spans, trial.kept_spans)] {
        writeln!(out, "{}", line(what, all.to_string(), kept.to_string(), share(kept, all)))?;
    }
    let kib = |bytes: u64| format!("{:.1}", bytes as f64 / 1024.0);
    let bytes = share(trial.kept_bytes, trial.bytes);
    writeln!(out, "{}\n", line("KiB", kib(trial.bytes), kib(trial.kept_bytes), bytes))?;

    let widest = |of: fn(&PolicyTrial) -> &str, least| {
        trial.by_policy.iter().map(|policy| terminal::width(&clean(of(policy)))).max().unwrap_or(0).max(least)
    };
    let (name, kind) = (widest(|policy| &policy.name, 6), widest(|policy| policy.kind, 4));
    let header = format!("{:<name$}  {:<kind$}  {:>8}  {:>8}  {:>8}", "POLICY", "TYPE", "FITS", "DECIDES", "ALONE");
    writeln!(out, "{}", layout.paint(DIM, header))?;
    for policy in &trial.by_policy {
        let padded = format!("{:<name$}", clean(&policy.name));
        writeln!(
            out,
            "{}  {:<kind$}  {:>8}  {:>8}  {:>8}{}",
            layout.paint(BOLD, padded),
            policy.kind,
            policy.fits,
            policy.decides,
            policy.alone,
            if policy.drops { "  drops" } else { "" },
        )?;
    }
    let advice = advice(trial, seen);
    if !advice.is_empty() {
        writeln!(out)?;
    }
    for sentence in advice {
        writeln!(out, "{sentence}")?;
    }
    Ok(())
}

/// What one should know about the figures, or may change.
fn advice(trial: &Trial, seen: &Seen) -> Vec<String> {
    let mut sentences = Vec::new();
    if seen.sampled_already > 0 {
        sentences.push(format!(
            "{} of these traces were sampled when they were stored: what was dropped then is not among them.",
            seen.sampled_already
        ));
    }
    for policy in &trial.by_policy {
        let name = clean(&policy.name);
        if policy.fits == 0 && policy.kind == "latency" {
            let longest = format_duration(seen.longest_ns);
            sentences.push(format!("{name} fits no trace; the longest took {longest}."));
        } else if policy.fits == 0 && policy.kind != "drop" {
            sentences.push(format!("{name} fits no trace."));
        } else if policy.fits > 0 && policy.alone == 0 {
            let what = if policy.drops { "drop" } else { "keep" };
            sentences.push(format!("{name} changes nothing here: others {what} what it fits."));
        }
    }
    if trial.kept_traces == 0 {
        sentences.push("No trace would be kept: a probabilistic policy keeps some of everything.".to_owned());
    }
    sentences
}
