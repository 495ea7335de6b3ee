//! `tandem compare`: two traces, or two sets of them, side by side.

use std::io::Write;
use std::process::ExitCode;

use anstyle::Style;
use clap::Args;
use diagnose::{Place, Side, SideBySide, TELLING, side_by_side};
use model::{Span, format_duration};
use query::is_id;
use store::{Found, Reader, TraceFilter};

use crate::query::read;
use crate::terminal::{self, BOLD, DIM, ERROR, Layout, NOTICE, clean, fit, width};
use crate::traces::{StoreFolder, ago, duration, explain_nothing};

/// Spans that are looked at of each set.
const MOST_SPANS: u64 = 200_000;

/// Put two traces, or two sets of traces, side by side: what takes longer, what is called more often, what only one of them does.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Compare {
    /// A trace's id or its beginning, `last`, or a query for traces.
    #[arg(value_name = "A")]
    first: String,
    /// What it is compared with; the same with `--baseline`.
    #[arg(value_name = "B", required_unless_present = "baseline", conflicts_with = "baseline")]
    second: Option<String>,
    /// Only traces that began within this time.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1h")]
    since: u64,
    /// Compare those since then (B) with those of so long before (A).
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    baseline: Option<u64>,
    /// At most so many traces of each, the newest.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Show what has hardly changed, too.
    #[arg(long)]
    all: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreFolder,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem compare 5f3a91bc 91bc0c2d                             # two traces, by the beginnings of their ids
  tandem compare service.version=1.4 service.version=1.5       # two builds
  tandem compare 'route=/cart tier=free' 'route=/cart tier=paid'

`tandem compare route=/cart --since 10m --baseline 1h` compares the last ten minutes with the hour before.

Exit codes: 0; 1 when a trace or the traces of a query are not there; 2 when a query is wrong.";

/// One side of the comparison.
struct Set {
    title: String,
    traces: Vec<Vec<Span>>,
}

impl Compare {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
            let reader = Reader::open(&self.store.path())?;
            let since = ago(self.since);
            let before = self.baseline.map(|baseline| since.saturating_sub(baseline));
            let spans = match before {
                Some(before) => [(before, Some(since)), (since, None)],
                None => [(since, None); 2],
            };
            let texts = [&self.first, self.second.as_ref().unwrap_or(&self.first)];
            let mut sets = Vec::new();
            for (text, (from, until)) in texts.into_iter().zip(spans) {
                match self.set(&reader, text, from, until)? {
                    Ok(set) => sets.push(set),
                    Err(code) => return Ok(code),
                }
            }
            if before.is_some() {
                sets[0].title += ", before";
                sets[1].title += ", since then";
            }
            if let Some(empty) = sets.iter().find(|set| set.traces.is_empty()) {
                eprintln!("tandem: no trace fits {}", clean(&empty.title));
                explain_nothing(&reader)?;
                return Ok(ExitCode::FAILURE);
            }
            let found = side_by_side(&sets[0].traces, &sets[1].traces);
            if self.json {
                terminal::json_line(out, &found)?;
            } else {
                let printer = Printer { layout: Layout::of_stdout(), found: &found };
                printer.print(out, &sets, self.all)?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    /// What is meant by a text: a trace, or those that a query finds. What is wrong with a query has been said.
    fn set(
        &self,
        reader: &Reader,
        text: &str,
        since: u64,
        until_unix_nano: Option<u64>,
    ) -> anyhow::Result<Result<Set, ExitCode>> {
        if is_id(text)
            && let Found::One(id) = reader.find(text)?
        {
            let traces = reader.trace(id)?.map(|trace| trace.spans).into_iter().collect();
            return Ok(Ok(Set { title: format!("trace {id}"), traces }));
        }
        let query = match read(text) {
            Ok(query) => query,
            Err(code) => return Ok(Err(code)),
        };
        let filter = TraceFilter { query, since_unix_nano: Some(since), until_unix_nano, limit: self.limit };
        let traces = reader.whole_traces(&filter, MOST_SPANS)?.into_iter().map(|trace| trace.spans).collect();
        Ok(Ok(Set { title: text.to_owned(), traces }))
    }
}

/// Columns of a time, of a change, and of calls.
const TIME: usize = 9;
const CHANGE: usize = 17;
const CALLS: usize = 11;
const NUMBERS: usize = CALLS + 1 + TIME + 1 + TIME + 1 + CHANGE;

struct Printer<'a> {
    layout: Layout,
    found: &'a SideBySide,
}

impl Printer<'_> {
    fn print(&self, out: &mut dyn Write, sets: &[Set], all: bool) -> std::io::Result<()> {
        let layout = self.layout;
        for (letter, set) in ["A", "B"].into_iter().zip(sets) {
            let count = match set.traces.len() {
                1 => "1 trace".to_owned(),
                many => format!("{many} traces"),
            };
            let title = fit(&clean(&set.title), layout.columns.saturating_sub(count.len() + 6)).into_owned();
            writeln!(out, "{}  {title}  {}", layout.paint(BOLD, letter), layout.paint(DIM, count))?;
        }
        let names = layout.columns.saturating_sub(NUMBERS + 1).max(8);
        let header = format!(
            "\n{:<names$} {:>CALLS$} {:>TIME$} {:>TIME$} {:>CHANGE$}",
            "WHAT, WHERE", "CALLS A·B", "A", "B", "CHANGE"
        );
        writeln!(out, "{}", layout.paint(DIM, header))?;
        let shown: Vec<bool> = self.found.telling().into_iter().map(|telling| telling || all).collect();
        for (place, _) in self.found.places.iter().zip(&shown).filter(|(_, shown)| **shown) {
            self.row(out, place, names)?;
        }
        let left_out = shown.iter().filter(|shown| !**shown).count();
        if left_out > 0 {
            let text = format!("{left_out} more that have hardly changed: --all shows them");
            writeln!(out, "{}", layout.paint(DIM, text))?;
        }
        Ok(())
    }

    fn row(&self, out: &mut dyn Write, place: &Place, names: usize) -> std::io::Result<()> {
        let layout = self.layout;
        let indent = "  ".repeat(place.depth.min(names / 4));
        let second = place.second.as_ref().map(|(_, name)| format!(" → {}", clean(name))).unwrap_or_default();
        let name = format!("{indent}{}{second}  {}", clean(&place.name), clean(&place.service));
        let name = fit(&name, names).into_owned();
        let blanks = " ".repeat(names - width(&name));
        let calls = |side: &Option<Side>| side.as_ref().map_or("–".to_owned(), |side| number(side.calls));
        let time = |side: &Option<Side>| side.as_ref().map_or("–".to_owned(), |side| nanos(side.time_ns));
        let [first, second] = &place.sides;
        writeln!(
            out,
            "{}{blanks} {:>CALLS$} {:>TIME$} {:>TIME$} {}",
            layout.paint(if place.depth == 0 { BOLD } else { Style::new() }, name),
            format!("{}·{}", calls(first), calls(second)),
            time(first),
            time(second),
            layout.paint(self.style(place), format_args!("{:>CHANGE$}", change(place))),
        )?;
        let indent = format!("{indent}  ");
        for line in [quantiles(place), failures(place), parts(place)].into_iter().flatten() {
            let line = fit(&line, layout.columns.saturating_sub(indent.len())).into_owned();
            writeln!(out, "{indent}{}", layout.paint(DIM, line))?;
        }
        Ok(())
    }

    /// Longer is what to look at.
    fn style(&self, place: &Place) -> Style {
        let before = place.sides[0].as_ref().map_or(0.0, |side| side.time_ns);
        match place.change_ns() {
            more if more > 0.25 * before => ERROR,
            more if more > 0.05 * before => NOTICE,
            _ => DIM,
        }
    }
}

fn nanos(value: f64) -> String {
    format_duration(value.max(0.0) as u64)
}

fn number(value: f64) -> String {
    if (value - value.round()).abs() < 0.005 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn signed(value: f64) -> String {
    let sign = if value < 0.0 { '−' } else { '+' };
    format!("{sign}{}", nanos(value.abs()))
}

fn change(place: &Place) -> String {
    match &place.sides {
        [Some(first), Some(_)] if first.time_ns > 0.0 => {
            let percent = 100.0 * place.change_ns() / first.time_ns;
            if place.change_ns().abs() < 1.0 {
                return "·".to_owned();
            }
            let percent = format!("{percent:+.0} %").replace('-', "−");
            format!("{} {percent:>7}", signed(place.change_ns()))
        }
        [_, None] => "only in A".to_owned(),
        [None, _] => "only in B".to_owned(),
        _ => signed(place.change_ns()),
    }
}

/// Of a root that several traces have: how its durations lie.
fn quantiles(place: &Place) -> Option<String> {
    let [Some(first), Some(second)] = &place.sides else { return None };
    let (before, after) = (first.quantiles_ns?, second.quantiles_ns?);
    let names = ["p50", "p95", "p99"];
    let each = names
        .iter()
        .zip(before)
        .zip(after)
        .map(|((name, before), after)| format!("{name} {} → {}", format_duration(before), format_duration(after)));
    (first.traces > 1 || second.traces > 1).then(|| each.collect::<Vec<_>>().join("   "))
}

fn failures(place: &Place) -> Option<String> {
    let failed = place.sides.each_ref().map(|side| side.as_ref().map_or(0.0, |side| side.failed));
    let percent = failed.map(|share| 100.0 * share);
    ((failed[0] - failed[1]).abs() > 0.001).then(|| format!("failed {:.1} % → {:.1} %", percent[0], percent[1]))
}

/// The parts of the anatomy that explain the change, the largest first.
fn parts(place: &Place) -> Option<String> {
    let [Some(first), Some(second)] = &place.sides else { return None };
    let all = first.parts_ns.keys().chain(second.parts_ns.keys().filter(|part| !first.parts_ns.contains_key(*part)));
    let of = |side: &Side, part: &str| side.parts_ns.get(part).copied().unwrap_or(0.0);
    let mut changes: Vec<(&str, f64)> = all.map(|part| (part.as_str(), of(second, part) - of(first, part))).collect();
    changes.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()));
    let telling = TELLING * first.time_ns.max(second.time_ns);
    let pieces: Vec<String> = changes
        .iter()
        .take_while(|(_, change)| change.abs() >= telling.max(1.0))
        .take(4)
        .map(|(part, change)| format!("{} {}", clean(part), signed(*change)))
        .collect();
    (!pieces.is_empty()).then(|| pieces.join(" · "))
}
