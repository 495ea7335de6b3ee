//! `tandem metrics`: what the agent has measured, from the store, and the numbers that programs that run keep themselves.

mod draw;
mod live;

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use store::{MetricFilter, Reader};

use crate::follow::{self, LOOK};
use crate::functions::Programs;
use crate::terminal::{self, Layout, clean};
use crate::traces::{StoreFolder, ago, duration};

/// Show metrics: durations and failures of requests, Go's runtime, connection pools, metrics made by hand, received ones.
///
/// The agent puts them into the store every ten seconds (docs/metrics.md). Without a name they are listed; with names, in which
/// `*` is any text, their series are shown: of counters what was added a second, of histograms p50, p95 and p99, and how it went.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Metrics {
    /// Show the series of metrics with these names; `*` is any text.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only metrics of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only what was measured within this time: 10m, 2h, 7d.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    since: u64,
    /// At most so many series.
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: usize,
    /// Go on with what is measured, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// The numbers that programs that run keep themselves, from their memory: of every woven program of yours, root's: everybody's.
    #[arg(long, conflicts_with_all = ["names", "follow", "folder"])]
    live: bool,
    /// The same of the process with this id.
    #[arg(long, value_name = "PID", conflicts_with_all = ["names", "follow", "folder", "service"])]
    pid: Option<u32>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreFolder,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem metrics                                       # which ones there are
  tandem metrics http.server.request.duration          # p50, p95, p99 of each route, of the last hour
  tandem metrics 'go.*' --service shop --since 10m     # Go's runtime
  tandem metrics 'go.goroutine.*' --follow             # as they are measured, until Ctrl-C
  tandem metrics 'db.client.*' --json                  # a series a line, with its points
  tandem metrics --live                                # of programs that run, from their memory
  tandem metrics --pid 4711 --json

Exit codes: 0, also when there are none; 1 when the store cannot be read, when there is no such program, or none that may be looked
at.";

impl Metrics {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
            if self.live || self.pid.is_some() {
                live::show(out, &Programs::chosen(self.pid, self.service), self.json)?;
                return Ok(ExitCode::SUCCESS);
            }
            let reader = Reader::open(&self.store.path())?;
            let filter = MetricFilter {
                names: self.names.clone(),
                service: self.service.clone(),
                since_unix_nano: Some(ago(self.since)),
                after: None,
                limit: self.limit,
            };
            if self.follow {
                return self.go_on(out, &reader, filter);
            }
            if self.names.is_empty() {
                self.list(out, &reader, &filter)?;
            } else {
                self.show(out, &reader, &filter)?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    fn list(&self, out: &mut dyn Write, reader: &Reader, filter: &MetricFilter) -> anyhow::Result<()> {
        let names = reader.metric_names(filter)?;
        if self.json {
            return lines(out, &names);
        }
        if names.is_empty() {
            explain_nothing(reader);
            return Ok(());
        }
        Ok(draw::list(out, &names, Layout::of_stdout())?)
    }

    fn show(&self, out: &mut dyn Write, reader: &Reader, filter: &MetricFilter) -> anyhow::Result<()> {
        let found = reader.metrics(filter)?;
        let is_cut = found.is_cut;
        if self.json {
            lines(out, &found.measured())?;
        } else if found.series.is_empty() {
            explain_names(reader, filter)?;
        } else {
            draw::series(out, &found, Layout::of_stdout())?;
        }
        if is_cut {
            eprintln!("tandem: these are the first {} series only; --limit shows more", self.limit);
        }
        Ok(())
    }

    /// Shows what is measured from now on.
    fn go_on(&self, out: &mut dyn Write, reader: &Reader, mut filter: MetricFilter) -> anyhow::Result<ExitCode> {
        let newest = reader.metrics(&MetricFilter { since_unix_nano: Some(u64::MAX), ..filter.clone() })?.newest;
        filter.after = Some(newest);
        follow::go_on(out, LOOK, |out| {
            filter.since_unix_nano = Some(ago(self.since));
            let found = reader.metrics(&filter)?;
            filter.after = Some(found.newest);
            if self.json {
                return lines(out, &found.measured());
            }
            Ok(draw::news(out, &found, Layout::of_stdout())?)
        })
    }
}

fn lines<T: Serialize>(out: &mut dyn Write, all: &[T]) -> anyhow::Result<()> {
    Ok(all.iter().try_for_each(|one| terminal::json_line(out, one))?)
}

/// Says why there is nothing to see and what to do about it; on standard error, so that scripts get an empty list.
fn explain_nothing(reader: &Reader) {
    eprintln!("no metrics of this time in {}", reader.folder().display());
    eprintln!("  tandem run -- ./app           measures some, every ten seconds and at the end");
    eprintln!("  tandem metrics --since 7d     looks further back");
    eprintln!("  tandem metrics --live         asks programs that run");
}

/// Says which metrics there are instead.
fn explain_names(reader: &Reader, filter: &MetricFilter) -> anyhow::Result<()> {
    let all = reader.metric_names(&MetricFilter { names: Vec::new(), service: None, ..filter.clone() })?;
    if all.is_empty() {
        explain_nothing(reader);
        return Ok(());
    }
    let names: Vec<String> = all.into_iter().map(|metric| metric.name).collect();
    let near = filter.names.iter().find_map(|name| ::query::nearest_word(name, &names));
    let near = near.map_or_else(String::new, |near| format!("; did you mean {}?", clean(&near)));
    eprintln!("nothing fits of what was measured in this time{near}");
    eprintln!("  tandem metrics           lists what there is");
    Ok(())
}
