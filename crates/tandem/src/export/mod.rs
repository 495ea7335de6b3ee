//! `tandem export`: traces and profiles from the store in the forms that other tools read.
//!
//! Exit codes: 0, also when nothing fits; 1 when the store cannot be read or the file cannot be written; 2 for a wrong use.

mod otlp;
mod perfetto;
mod speedscope;
mod table;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::query::Query;
use anyhow::Context;
use clap::{Args, ValueEnum};
use flate2::Compression;
use flate2::write::GzEncoder;
use model::{ProfileKind, TraceId};
use store::{Found, ProfileFilter, Reader, StoredSample, TraceFilter};

use crate::pprof;
use crate::query::{QueryArgument, WRONG_USE};
use crate::terminal;
use crate::traces::{StoreFolder, ago, duration, explain_nothing};

/// Write traces or profiles to a file that other tools read.
///
/// otlp and otlp-json are OTLP files (`tandem open` and the OpenTelemetry Collector read them), perfetto is for
/// ui.perfetto.dev, csv has a line a span. pprof and speedscope are profiles: samples of the programs that ran under
/// `--profile`, of the traces that are asked for or of the last hour.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Export {
    /// The form.
    #[arg(long, short, value_enum)]
    format: Format,
    #[command(flatten)]
    what: QueryArgument,
    /// The file; one that ends in .gz is packed [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only what began within this time: 10m, 2h, 7d.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<u64>,
    /// At most so many traces: the newest.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    store: StoreFolder,
}

const EXAMPLES: &str = "\
Examples:
  tandem export --format perfetto last -o trace.json          # the newest trace, for ui.perfetto.dev
  tandem export --format otlp-json 4bf92f35 -o trace.jsonl    # a trace by the beginning of its id
  tandem export --format otlp 'status=error' -o errors.pb.gz  # what failed; tandem open errors.pb.gz shows it
  tandem export --format csv 'service=orders' --since 1h      # spans for a spreadsheet
  tandem export --format speedscope -o profile.json           # samples of the last hour, for speedscope.app
  tandem export --format pprof 'route=/cart' -o cart.pb.gz    # for go tool pprof";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// OTLP as protobuf.
    Otlp,
    /// OTLP as JSON, a line a trace.
    OtlpJson,
    /// Chrome's trace events, which Perfetto shows.
    Perfetto,
    /// A profile for speedscope.app.
    Speedscope,
    /// A profile for go tool pprof.
    Pprof,
    /// A line a span.
    Csv,
}

/// Samples of this long are written when nobody says which.
const USUAL_TIME: u64 = 3600 * 1_000_000_000;
/// More samples are not written in one go.
const MOST_SAMPLES: usize = 2_000_000;

impl Export {
    pub fn run(self) -> ExitCode {
        let is_binary = matches!(self.format, Format::Otlp | Format::Pprof);
        if is_binary && self.output.is_none() && io::stdout().is_terminal() {
            eprintln!("tandem: this form is not text: write it to a file with -o FILE");
            return ExitCode::from(WRONG_USE);
        }
        let (query, id) = match (self.what.as_id(), self.what.read()) {
            (Some(id), _) => (Query::default(), Some(id.to_owned())),
            (None, Ok(query)) => (query, None),
            (None, Err(code)) => return code,
        };
        terminal::report(|out| {
            let reader = Reader::open(&self.store.path())?;
            let Some(chosen) = self.choose(&reader, query, id.as_deref())? else { return Ok(ExitCode::FAILURE) };
            match self.format {
                Format::Pprof | Format::Speedscope => self.write_samples(out, &reader, &chosen)?,
                _ => self.write_traces(out, &reader, &chosen)?,
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    /// The traces that are meant; nothing is chosen by a query that asks for nothing. `None`: that has been said.
    fn choose(&self, reader: &Reader, query: Query, id: Option<&str>) -> anyhow::Result<Option<Chosen>> {
        if let Some(beginning) = id {
            match reader.find(beginning)? {
                Found::One(id) => {
                    let start = reader.trace(id)?.map_or(0, |trace| trace.summary.start_unix_nano);
                    return Ok(Some(Chosen { traces: vec![id], start, is_all: false }));
                }
                Found::Nothing if beginning == "last" => explain_nothing(reader)?,
                // Some words consist of such digits: then it is a query.
                Found::Nothing | Found::NotAnId => return self.choose(reader, Query::parse(beginning)?, None),
                Found::Several(ids) => {
                    let list = ids.iter().map(TraceId::to_string).collect::<Vec<_>>().join("\n  ");
                    eprintln!("tandem: several traces begin with {beginning}: say more of the id\n  {list}");
                }
            }
            return Ok(None);
        }
        let is_all = query.is_empty();
        let since_unix_nano = self.since.map(ago);
        let filter = TraceFilter { query, since_unix_nano, limit: self.limit, ..TraceFilter::default() };
        let found = reader.traces(&filter)?;
        let start = found.iter().map(|trace| trace.start_unix_nano).min().unwrap_or(0);
        let traces: Vec<TraceId> = found.into_iter().map(|trace| trace.trace_id).collect();
        if traces.len() == self.limit {
            eprintln!("tandem: these are the newest {} traces only; --limit takes more", self.limit);
        }
        Ok(Some(Chosen { traces, start, is_all }))
    }

    fn write_traces(&self, out: &mut dyn Write, reader: &Reader, chosen: &Chosen) -> anyhow::Result<()> {
        if chosen.traces.is_empty() {
            explain_nothing(reader)?;
        }
        let count = chosen.traces.len();
        self.write(out, |out| match self.format {
            Format::Otlp => otlp::write(out, reader, &chosen.traces),
            Format::OtlpJson => otlp::write_json(out, reader, &chosen.traces),
            Format::Perfetto => perfetto::write(out, reader, &chosen.traces, chosen.start),
            _ => table::write(out, reader, &chosen.traces),
        })?;
        self.say(&format!("{count} {}", if count == 1 { "trace" } else { "traces" }));
        Ok(())
    }

    fn write_samples(&self, out: &mut dyn Write, reader: &Reader, chosen: &Chosen) -> anyhow::Result<()> {
        let samples = self.samples(reader, chosen)?;
        if samples.is_empty() {
            eprintln!("tandem: there are no profile samples of this; tandem run --profile -- ./app makes some");
        }
        self.write(out, |out| match self.format {
            Format::Pprof => Ok(pprof::write(out, &samples, ProfileKind::Cpu)?),
            _ => speedscope::write(out, &samples),
        })?;
        self.say(&format!("{} samples", samples.len()));
        Ok(())
    }

    fn samples(&self, reader: &Reader, chosen: &Chosen) -> anyhow::Result<Vec<StoredSample>> {
        let of_all = ProfileFilter { with_operations: true, limit: MOST_SAMPLES, ..ProfileFilter::default() };
        if chosen.is_all {
            let since = ago(self.since.unwrap_or(USUAL_TIME));
            return Ok(reader.profile(&ProfileFilter { since_unix_nano: Some(since), ..of_all })?);
        }
        let mut samples = Vec::new();
        for trace in &chosen.traces {
            samples.extend(reader.profile(&ProfileFilter { trace: Some(*trace), ..of_all.clone() })?);
        }
        Ok(samples)
    }

    /// Writes to the file, packed where its name says so, or to standard output.
    fn write(
        &self,
        out: &mut dyn Write,
        write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Some(path) = &self.output else { return write(out) };
        let to_file = || -> anyhow::Result<()> {
            let mut file = BufWriter::new(File::create(path)?);
            if self.is_packed_again(path) {
                let mut packed = GzEncoder::new(&mut file, Compression::default());
                write(&mut packed)?;
                packed.finish()?;
            } else {
                write(&mut file)?;
            }
            Ok(file.flush()?)
        };
        to_file().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Profiles for pprof are packed already.
    fn is_packed_again(&self, path: &Path) -> bool {
        self.format != Format::Pprof && path.extension().is_some_and(|extension| extension == "gz")
    }

    fn say(&self, what: &str) {
        if let Some(path) = &self.output {
            eprintln!("tandem: {what} in {}", path.display());
        }
    }
}

/// The traces that are written.
struct Chosen {
    traces: Vec<TraceId>,
    /// When the first of them began, ns since 1970.
    start: u64,
    /// Nobody asked for some of them.
    is_all: bool,
}
