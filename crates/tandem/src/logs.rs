//! `tandem logs`: the log records in the store, oldest first, and those that come.

use std::io::Write;
use std::process::ExitCode;

use anstyle::Style;
use clap::Args;
use model::{LogRecord, TraceId};
use store::{LogFilter, Reader};

use crate::follow::{self, LOOK};
use crate::query::QueryArgument;
use crate::terminal::{self, BOLD, DIM, ERROR, Layout, NOTICE, clean, fit};
use crate::traces::{self, StoreFolder, ago, duration, moment};

/// Show log records from the store, oldest first, and those that come.
///
/// With a query, those that were written in spans that fit. They are there of programs that run with OTEL_LOGS_EXPORTER=otlp
/// (docs/logs.md).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Logs {
    #[command(flatten)]
    query: QueryArgument,
    /// Only records of this trace: its id or the beginning of one that is in the store; `last` is the newest trace.
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// Only records of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only records at least as severe: trace, debug, info, warn, error, fatal, or OTLP's number.
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    severity: Option<u8>,
    /// Only records written within this time: 10m, 2h, 7d.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<u64>,
    /// At most so many: the newest.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Go on with those that come, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreFolder,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem logs                                # the last hundred, oldest first
  tandem logs --trace last                   # of the newest trace
  tandem logs --severity warn --since 10m    # warnings and worse
  tandem logs --service shop --follow        # those that come, until Ctrl-C

Exit codes: 0, also when no record fits; 1 when there is no such trace, or when the store cannot be read.";

/// Lowest OTLP number of each severity.
const SEVERITIES: [(&str, u8); 6] =
    [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17), ("fatal", 21)];

fn severity(text: &str) -> Result<u8, String> {
    let named = SEVERITIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
    let number = || text.parse().ok().filter(|number| (1..=24).contains(number));
    named
        .or_else(number)
        .ok_or_else(|| "write trace, debug, info, warn, error, fatal, or a number from 1 to 24".to_owned())
}

impl Logs {
    pub fn run(self) -> ExitCode {
        let query = match self.query.read() {
            Ok(query) => query,
            Err(code) => return code,
        };
        terminal::report(|out| {
            let reader = Reader::open(&self.store.path())?;
            let trace = match &self.trace {
                None => None,
                Some(beginning) => match find(&reader, beginning)? {
                    Some(id) => Some(id),
                    None => return Ok(ExitCode::FAILURE),
                },
            };
            let mut filter = LogFilter {
                trace,
                service: self.service.clone(),
                query,
                min_severity: self.severity.unwrap_or(0),
                since_unix_nano: self.since.map(ago),
                after: None,
                limit: self.limit,
            };
            let (logs, mut last) = reader.logs(&filter)?;
            if logs.is_empty() && !self.follow && !self.json {
                explain_nothing(&reader, last > 0);
            }
            self.write(out, &logs)?;
            filter.limit = usize::MAX;
            if !self.follow {
                return Ok(ExitCode::SUCCESS);
            }
            follow::go_on(out, LOOK, |out| {
                filter.after = Some(last);
                let (logs, newest) = reader.logs(&filter)?;
                last = newest;
                self.write(out, &logs)
            })
        })
    }

    fn write(&self, out: &mut dyn Write, logs: &[LogRecord]) -> anyhow::Result<()> {
        let layout = Layout::of_stdout();
        for log in logs {
            if self.json {
                terminal::json_line(out, log)?;
            } else {
                print(out, log, layout)?;
            }
        }
        Ok(())
    }
}

/// The trace that is meant; says why when there is none. Of a trace that was not sampled there are only log records: its
/// whole id is taken as it is.
pub fn find(reader: &Reader, beginning: &str) -> anyhow::Result<Option<TraceId>> {
    if let Some(id) = TraceId::parse(beginning) {
        return Ok(Some(id));
    }
    let found = traces::find(reader, beginning)?;
    if found.is_none() {
        eprintln!("tandem: no trace in the store begins with {beginning}; tandem traces lists them");
    }
    Ok(found)
}

/// Says why there is nothing to see and what to do about it; on standard error, so that scripts get an empty list.
fn explain_nothing(reader: &Reader, any: bool) {
    if any {
        eprintln!("no log record fits");
    } else {
        eprintln!("no log records yet in {}", reader.folder().display());
        eprintln!("  OTEL_LOGS_EXPORTER=otlp tandem run -- ./app     makes some of what a woven program logs");
        eprintln!("  tandem logs --store DIR                         looks elsewhere");
    }
}

/// Digits of a trace's id that are shown.
const ID_DIGITS: usize = 8;

/// Time, severity, service, text, attributes and trace in a line.
fn print(out: &mut dyn Write, log: &LogRecord, layout: Layout) -> std::io::Result<()> {
    let time = moment(log.time_unix_nano, "%m-%d %H:%M:%S%.3f");
    let (word, style) = severity_word(log);
    let trace = match log.trace_id {
        Some(id) => id.to_string()[..ID_DIGITS].to_owned(),
        None => "·".to_owned(),
    };
    let service = clean(&log.service);
    let body = clean_lines(&log.body.to_string());
    write!(
        out,
        "{} {} {} {}  {}",
        layout.paint(DIM, time),
        layout.paint(style, format_args!("{:<5}", fit(&clean(&word), 5))),
        layout.paint(DIM, format_args!("{trace:<ID_DIGITS$}")),
        layout.paint(DIM, &service),
        layout.paint(if log.severity_number >= 17 { ERROR } else { BOLD }, &body),
    )?;
    if !log.event_name.is_empty() {
        write!(out, " {}{}", layout.paint(DIM, "event="), clean(&log.event_name))?;
    }
    // The place in the code is for the page and for scripts.
    for (key, value) in log.attributes.iter().filter(|(key, _)| !key.starts_with("code.")) {
        let value = value.to_string();
        let quoted = value.is_empty() || value.contains([' ', '"', '=', '\n']);
        let value = if quoted { format!("{value:?}") } else { value };
        write!(out, " {}{}", layout.paint(DIM, format_args!("{}=", clean(key))), clean(&value))?;
    }
    if log.trace_id.is_some() && log.trace_flags & 1 == 0 {
        write!(out, " {}", layout.paint(DIM, "(trace not sampled)"))?;
    }
    writeln!(out)?;
    Ok(())
}

/// Text of several lines, each below the first one indented.
fn clean_lines(text: &str) -> String {
    text.trim_end_matches('\n').split('\n').map(|line| clean(line).into_owned()).collect::<Vec<_>>().join("\n    ")
}

/// The name that OTLP's number stands for, the same for all libraries; where there is none, the library's own.
fn severity_word(log: &LogRecord) -> (String, Style) {
    let style = match log.severity_number {
        0 => Style::new(),
        1..=8 => DIM,
        9..=12 => Style::new(),
        13..=16 => NOTICE,
        _ => ERROR,
    };
    let named =
        SEVERITIES.iter().rev().find(|(_, lowest)| log.severity_number >= *lowest).map_or("-", |(name, _)| name);
    let word = if log.severity_number == 0 && !log.severity_text.is_empty() { &log.severity_text } else { named };
    (word.to_uppercase(), style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_names_and_numbers() {
        assert_eq!((severity("WARN"), severity("17"), severity("24")), (Ok(13), Ok(17), Ok(24)));
        assert!(severity("25").is_err() && severity("0").is_err() && severity("loud").is_err());
    }

    #[test]
    fn a_record_is_a_line_that_says_all() {
        let log = LogRecord {
            time_unix_nano: 1_795_449_600_123_000_000,
            observed_unix_nano: 0,
            severity_number: 13,
            severity_text: "warn".to_owned(),
            event_name: String::new(),
            body: model::Value::String("two\nlines\u{1b}[31m\n".to_owned()),
            attributes: [
                ("code.line.number".to_owned(), model::Value::Int(5)),
                ("empty".to_owned(), model::Value::String(String::new())),
                ("user.name".to_owned(), model::Value::String("ann b".to_owned())),
            ]
            .into(),
            trace_id: Some(TraceId([0xab; 16])),
            span_id: None,
            trace_flags: 0,
            service: "cart".to_owned(),
            scope: String::new(),
            resource: Default::default(),
        };
        let mut out = Vec::new();
        print(&mut out, &log, Layout { columns: 80, colours: false }).expect("written");
        let line = String::from_utf8(out).expect("text");
        let shown =
            "WARN  abababab cart  two\n    lines\\u{1b}[31m empty=\"\" user.name=\"ann b\" (trace not sampled)\n";
        assert_eq!(&line[line.find("WARN").expect("there")..], shown);
    }
}
