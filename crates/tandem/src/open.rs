//! `tandem open FILE…`: shows OTLP files on the page, from a store that is gone afterwards.
//!
//! Exit codes: 0 after Ctrl-C, and when nothing is to be waited for; 3 for a file that cannot be read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use deliver::otlp::regroup::{Verdict, regroup};
use deliver::otlp::walk::{self, Attribute, Field, Malformed, ResourceGroup, SPAN_ATTRIBUTES, Whole};
use deliver::{Batch, Refused, Signal, Sink};
use model::SOURCE_ATTRIBUTE;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use store::{Limits, MetricTotals, Reader, Store};

use crate::otlp_file;
use crate::terminal::{self, clean};

/// Show the traces and log records of OTLP files on a page, until Ctrl-C; their metrics in the terminal.
///
/// Files may be JSON or protobuf, packed with gzip or not: those of `tandem export`, of the OpenTelemetry Collector's file
/// exporter and of SDKs. They are put into a store of their own, which other commands can read meanwhile and which is removed
/// at the end.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Open {
    /// The files; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where the page is: an address and a port, or a port of this machine; port 0 is any free one.
    #[arg(long = "ui", value_name = "ADDRESS", default_value = "0", value_parser = ::ui::parse_address)]
    address: SocketAddr,
    /// Keep what is in the files in this store, and show no page.
    #[arg(long, value_name = "DIR", conflicts_with = "address")]
    into: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  tandem export --format otlp-json last -o trace.jsonl
  tandem open trace.jsonl                           # on a page; its address is printed
  tandem export --format otlp -o all.pb.gz
  tandem open all.pb.gz trace.jsonl                 # several together
  tandem open trace.jsonl --into ./store && tandem traces --store ./store";

/// A file that cannot be read; as of weaves that cannot be done.
const UNREADABLE: u8 = 3;

/// So many samples of metrics may wait for the store: it refuses more than it has room for.
const MOST_WAITING: usize = 1000;

/// How long is waited for what is written last.
const PATIENCE: Duration = Duration::from_secs(600);

impl Open {
    pub fn run(self) -> ExitCode {
        let mut requests = Vec::new();
        for file in &self.files {
            match read(file) {
                Ok(found) => requests.extend(found),
                Err(error) => {
                    eprintln!("tandem: cannot open {}: {}", file.display(), clean(&error));
                    return ExitCode::from(UNREADABLE);
                }
            }
        }
        terminal::report(|out| {
            if let Some(folder) = &self.into {
                eprintln!("tandem: {} in {}", fill(folder, requests)?, folder.display());
                return Ok(ExitCode::SUCCESS);
            }
            // Before anything is made that a signal would leave behind.
            let mut signals = Signals::new([SIGINT, SIGTERM])?;
            let folder = tempfile::Builder::new().prefix("tandem-open-").tempdir().context("no temporary folder")?;
            let what = fill(folder.path(), requests)?;
            let server = ::ui::serve(Reader::open(folder.path())?, self.address)?;
            writeln!(out, "{}", server.url())?;
            out.flush()?;
            eprintln!("tandem: {what}; until Ctrl-C also: tandem traces --store {}", folder.path().display());
            if server.is_exposed() {
                eprintln!("tandem: warning: everybody who can reach {} can read the traces", server.address());
            }
            signals.forever().next();
            drop(server);
            folder.close().context("the temporary store cannot be removed")?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn read(file: &Path) -> Result<otlp_file::Requests, String> {
    let content = if file == Path::new("-") {
        let mut content = Vec::new();
        io::stdin().lock().read_to_end(&mut content).map(|_| content)
    } else {
        fs::read(file)
    };
    otlp_file::requests(content.map_err(|error| error.to_string())?)
}

/// Puts requests into a store, and says what they were.
fn fill(folder: &Path, requests: otlp_file::Requests) -> anyhow::Result<String> {
    // Nothing is too old or too much that somebody wants to see.
    let limits = Limits { bytes: u64::MAX, age: Duration::MAX };
    let store = Store::open(folder, limits)?;
    let (mut totals, mut waiting) = (MetricTotals::default(), 0);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (signal, request) in requests {
        let count = u64::from(otlp_file::records(&request).context("a request that cannot be read")?);
        *counts.entry(signal.noun()).or_default() += count;
        if signal == Signal::Metrics {
            for sample in totals.exported(&request).context("a request that cannot be read")? {
                store.offer_metrics(sample);
                waiting += 1;
                if waiting == MOST_WAITING {
                    store.flush(Instant::now() + PATIENCE);
                    waiting = 0;
                }
            }
        } else {
            offer(&store, signal, &request)?;
        }
    }
    store.flush(Instant::now() + PATIENCE);
    let mut what: Vec<String> =
        counts.iter().map(|(noun, count)| format!("{count} {noun}{}", if *count == 1 { "" } else { "s" })).collect();
    let report = store.report();
    let lost: u64 = report.dropped.values().sum();
    if let Some(problem) = report.problem {
        anyhow::bail!("{problem}");
    }
    what.extend((lost > 0).then(|| format!("({lost} of them have no ids or cannot be read)")));
    Ok(what.join(", "))
}

fn offer(store: &Store, signal: Signal, request: &Bytes) -> anyhow::Result<()> {
    let malformed = "a request that cannot be read";
    for batch in batches(signal, request).context(malformed)? {
        let batch = Arc::new(batch);
        while let Err(refused) = store.offer(&batch) {
            anyhow::ensure!(refused == Refused::Full, "the store has stopped");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// A batch a group; spans that another program than Tandem made say so.
fn batches(signal: Signal, request: &Bytes) -> Result<Vec<Batch>, Malformed> {
    let mut batches = Vec::new();
    let mut begin = 0;
    for (number, field, whole) in Whole::of(request) {
        let end = begin + whole.len();
        if let (1, Field::Bytes(message)) = (number, field?) {
            let is_ours = is_of_tandem(message)?;
            let regrouped = regroup(message, |record| {
                let is_foreign = signal == Signal::Traces && !is_ours && !has_source(record)?;
                Ok(if is_foreign { Verdict::Marked } else { Verdict::Kept })
            })?;
            regrouped.batches(signal, &Arc::default(), request.slice(begin..end), |batch| batches.push(batch));
        }
        begin = end;
    }
    Ok(batches)
}

/// Whether one of the scopes of a group is Tandem's own: then Tandem made all of it, and says what it did not make.
fn is_of_tandem(group: &[u8]) -> Result<bool, Malformed> {
    for scope in ResourceGroup::read(group)?.scopes() {
        if scope?.name()?.starts_with(b"tandem/") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_source(span: &[u8]) -> Result<bool, Malformed> {
    for attribute in walk::attributes(span, SPAN_ATTRIBUTES) {
        let Attribute { key, .. } = attribute?;
        if key == SOURCE_ATTRIBUTE.as_bytes() {
            return Ok(true);
        }
    }
    Ok(false)
}
