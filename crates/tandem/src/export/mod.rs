//! `tandem export`: traces, log records and profiles from the store in the forms that other tools read.
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
use model::{ProfileKind, TraceId, TraceSummary};
use store::{Found, LogFilter, ProfileFilter, Reader, TraceFilter};

use crate::pprof;
use crate::query::{QueryArgument, WRONG_USE};
use crate::terminal;
use crate::traces::{StoreFolder, ago, duration, explain_nothing};

/// Write traces, log records or profiles to a file that other tools read.
///
/// otlp and otlp-json are OTLP files (`tandem open` and the OpenTelemetry Collector read them), perfetto is for
/// ui.perfetto.dev, csv has a line a span, or a log record with `--signal logs`. pprof and speedscope are profiles: samples of the programs that ran under
/// `--profile`, of the last hour, within the spans that fit.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Export {
    /// The form.
    #[arg(long, short, value_enum)]
    format: Format,
    /// What is written as otlp, otlp-json or csv. Log records are those that were written in spans that fit; without a query, all.
    #[arg(long, value_enum, default_value_t = Exported::Traces)]
    signal: Exported,
    #[command(flatten)]
    what: QueryArgument,
    /// The file; one that ends in .gz is packed [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only what began within this time: 10m, 2h, 7d.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<u64>,
    /// At most so many: the newest [default: 1000 traces, 100000 log records].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    store: StoreFolder,
}

const EXAMPLES: &str = "\
Examples:
  tandem export --format perfetto last -o trace.json          # the newest trace, for ui.perfetto.dev
  tandem export --format otlp-json 4bf92f35 -o trace.jsonl    # a trace by the beginning of its id
  tandem export --format otlp 'status=error' -o errors.pb.gz  # what failed; tandem open errors.pb.gz shows it
  tandem export --format csv 'service=orders' --since 1h      # spans for a spreadsheet
  tandem export --format otlp-json --signal logs --since 1h -o logs.jsonl
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
    /// A line a span, or a log record.
    Csv,
}

/// What OTLP and tables have of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Exported {
    /// Spans, whole traces.
    Traces,
    /// Log records.
    Logs,
}

/// So many traces, or log records, are written when nobody says how many.
const USUAL_TRACES: usize = 1000;
const USUAL_LOGS: usize = 100_000;
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
        let has_logs = matches!(self.format, Format::Otlp | Format::OtlpJson | Format::Csv);
        if self.signal == Exported::Logs && !has_logs {
            eprintln!(
                "tandem: this form has no place for log records: write them with --format otlp, otlp-json or csv"
            );
            return ExitCode::from(WRONG_USE);
        }
        let (query, id) = match (self.what.as_id(), self.what.read()) {
            (Some(id), _) => (Query::default(), Some(id.to_owned())),
            (None, Ok(query)) => (query, None),
            (None, Err(code)) => return code,
        };
        terminal::report(|out| {
            let reader = Reader::open(&self.store.path())?;
            let chosen = match id {
                Some(id) => match find(&reader, &id)? {
                    Some(chosen) => chosen,
                    None => return Ok(ExitCode::FAILURE),
                },
                None => Chosen::Query(query),
            };
            match self.format {
                Format::Pprof | Format::Speedscope => self.write_samples(out, &reader, chosen)?,
                _ if self.signal == Exported::Logs => self.write_logs(out, &reader, chosen)?,
                _ => self.write_traces(out, &reader, chosen)?,
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    fn write_traces(&self, out: &mut dyn Write, reader: &Reader, chosen: Chosen) -> anyhow::Result<()> {
        let summaries = match chosen {
            Chosen::Trace(id) => reader.trace(id)?.map(|trace| trace.summary).into_iter().collect(),
            Chosen::Query(query) => self.search(reader, query)?,
        };
        let start = summaries.iter().map(|trace| trace.start_unix_nano).min().unwrap_or(0);
        let traces: Vec<TraceId> = summaries.into_iter().map(|trace| trace.trace_id).collect();
        if traces.is_empty() {
            explain_nothing(reader)?;
        }
        self.write(out, |out| match self.format {
            Format::Otlp => otlp::write(out, reader, &traces),
            Format::OtlpJson => otlp::write_json(out, reader, &traces),
            Format::Perfetto => perfetto::write(out, reader, &traces, start),
            _ => table::write(out, reader, &traces),
        })?;
        self.say(&format!("{} {}", traces.len(), if traces.len() == 1 { "trace" } else { "traces" }));
        Ok(())
    }

    fn search(&self, reader: &Reader, query: Query) -> anyhow::Result<Vec<TraceSummary>> {
        let since_unix_nano = self.since.map(ago);
        let limit = self.limit.unwrap_or(USUAL_TRACES);
        let filter = TraceFilter { query, since_unix_nano, limit, ..TraceFilter::default() };
        let found = reader.traces(&filter)?;
        if found.len() == limit {
            eprintln!("tandem: these are the newest {limit} traces only; --limit takes more");
        }
        Ok(found)
    }

    fn write_logs(&self, out: &mut dyn Write, reader: &Reader, chosen: Chosen) -> anyhow::Result<()> {
        let limit = self.limit.unwrap_or(USUAL_LOGS);
        let all = LogFilter { since_unix_nano: self.since.map(ago), limit, ..LogFilter::default() };
        let filter = match chosen {
            Chosen::Trace(id) => LogFilter { trace: Some(id), ..all },
            Chosen::Query(query) => LogFilter { query, ..all },
        };
        let mut count = 0;
        self.write(out, |out| {
            if self.format == Format::Csv {
                let (logs, _) = reader.logs(&filter)?;
                count = logs.len();
                return table::write_logs(out, &logs);
            }
            let logs = reader.otlp_logs(&filter)?;
            count = logs.len();
            match self.format {
                Format::OtlpJson => otlp::write_logs_json(out, &logs),
                _ => otlp::write_logs(out, logs),
            }
        })?;
        if count == 0 {
            eprintln!("tandem: there are no log records of this; tandem logs lists those that there are");
        }
        if count == limit {
            eprintln!("tandem: these are the newest {limit} log records only; --limit takes more");
        }
        self.say(&format!("{count} {}", if count == 1 { "log record" } else { "log records" }));
        Ok(())
    }

    fn write_samples(&self, out: &mut dyn Write, reader: &Reader, chosen: Chosen) -> anyhow::Result<()> {
        let all = ProfileFilter { with_operations: true, limit: MOST_SAMPLES, ..ProfileFilter::default() };
        let samples = reader.profile(&match chosen {
            Chosen::Trace(id) => ProfileFilter { trace: Some(id), ..all },
            Chosen::Query(query) => {
                let since_unix_nano = Some(ago(self.since.unwrap_or(USUAL_TIME)));
                ProfileFilter { query, since_unix_nano, ..all }
            }
        })?;
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

/// What is written.
enum Chosen {
    Trace(TraceId),
    Query(Query),
}

/// What an id's beginning stands for; `None`: that has been said.
fn find(reader: &Reader, beginning: &str) -> anyhow::Result<Option<Chosen>> {
    match reader.find(beginning)? {
        Found::One(id) => return Ok(Some(Chosen::Trace(id))),
        Found::Nothing if beginning == "last" => explain_nothing(reader)?,
        // Some words consist of such digits: then it is a query.
        Found::Nothing | Found::NotAnId => return Ok(Some(Chosen::Query(Query::parse(beginning)?))),
        Found::Several(ids) => {
            let list = ids.iter().map(TraceId::to_string).collect::<Vec<_>>().join("\n  ");
            eprintln!("tandem: several traces begin with {beginning}: say more of the id\n  {list}");
        }
    }
    Ok(None)
}
