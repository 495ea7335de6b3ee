//! `tandem sql`: questions in SQL about what is in the store.
//!
//! Exit codes: 0 with an answer, an empty one included; 1 when the store cannot be read or it takes too long; 2 when the
//! SQL is wrong.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Number, Value};
use store::{Reader, SqlError, SqlRows, SqlValue};

use crate::query::WRONG_USE;
use crate::terminal::{self, DIM, Layout, clean, fit, width};
use crate::traces::{StoreFolder, duration};

/// Ask the store in SQL: SELECT over the views spans, traces, logs, samples and metrics.
///
/// Nothing is ever written. The SQL is SQLite's, with its functions for JSON: `attributes ->> 'http.route'`. Times are
/// nanoseconds since 1970, durations nanoseconds. docs/queries.md lists the columns.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Sql {
    /// One SELECT.
    #[arg(value_name = "SELECT")]
    select: String,
    /// Give up after this time.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    time_limit: u64,
    /// One JSON object a line.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values, with the names of the columns in the first line.
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    store: StoreFolder,
}

const EXAMPLES: &str = "\
Examples:
  tandem sql 'SELECT service, count(*), max(duration_ns) / 1e6 AS slowest_ms FROM spans GROUP BY service'
  tandem sql \"SELECT name, sum(anatomy ->> 'run_queue') / 1e6 AS ms FROM spans GROUP BY 1 ORDER BY 2 DESC LIMIT 10\"
  tandem sql \"SELECT datetime(start_unix_nano / 1e9, 'unixepoch'), root FROM traces WHERE error_count > 0\" --csv
  tandem sql \"SELECT trace_id, body FROM logs WHERE severity_number >= 17\" --json
  tandem sql 'SELECT function, sum(value_ns) FROM samples GROUP BY 1 ORDER BY 2 DESC LIMIT 20'";

impl Sql {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
            let reader = Reader::open(&self.store.path())?;
            let mut rows: Box<dyn Answer> = match (self.json, self.csv) {
                (true, _) => Box::new(Lines { out, names: Vec::new() }),
                (_, true) => Box::new(Csv(csv::Writer::from_writer(out))),
                _ => Box::new(Table { out, layout: Layout::of_stdout(), names: Vec::new(), rows: Vec::new() }),
            };
            let answered = reader.sql(&self.select, Duration::from_nanos(self.time_limit), &mut Rows(&mut *rows));
            match answered {
                Ok(()) => rows.finish()?,
                Err(SqlError::Output(error)) => return Err(error.into()),
                Err(error @ (SqlError::Wrong(_) | SqlError::NotReading)) => {
                    let lines: Vec<_> = error.to_string().lines().map(|line| clean(line).into_owned()).collect();
                    eprintln!("tandem: {}", lines.join("\n"));
                    eprintln!(
                        "the views are spans, traces, logs, samples and metrics; tandem sql --help shows examples"
                    );
                    return Ok(ExitCode::from(WRONG_USE));
                }
                Err(SqlError::Store(store::StoreError::TooSlow)) => {
                    anyhow::bail!("the answer takes too long: narrow it by start_unix_nano, or raise --time-limit")
                }
                Err(error) => return Err(error.into()),
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// A form of answers.
trait Answer {
    fn columns(&mut self, names: &[String]) -> io::Result<()>;
    fn row(&mut self, values: Vec<SqlValue>) -> io::Result<()>;
    fn finish(&mut self) -> io::Result<()>;
}

struct Rows<'a>(&'a mut dyn Answer);

impl SqlRows for Rows<'_> {
    type Error = io::Error;

    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        self.0.columns(names)
    }

    fn row(&mut self, values: Vec<SqlValue>) -> io::Result<()> {
        self.0.row(values)
    }
}

fn text(value: &SqlValue) -> String {
    match value {
        SqlValue::Null => String::new(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => number.to_string(),
        SqlValue::Text(text) => text.clone(),
        SqlValue::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// JSON objects.
struct Lines<'a> {
    out: &'a mut dyn Write,
    names: Vec<String>,
}

impl Answer for Lines<'_> {
    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        self.names = names.to_vec();
        Ok(())
    }

    fn row(&mut self, values: Vec<SqlValue>) -> io::Result<()> {
        let json = |value: &SqlValue| match value {
            SqlValue::Null => Value::Null,
            SqlValue::Integer(number) => (*number).into(),
            SqlValue::Real(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
            SqlValue::Text(_) | SqlValue::Blob(_) => text(value).into(),
        };
        let object: Map<String, Value> = self.names.iter().cloned().zip(values.iter().map(json)).collect();
        serde_json::to_writer(&mut self.out, &object)?;
        writeln!(self.out)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Csv<'a>(csv::Writer<&'a mut dyn Write>);

impl Answer for Csv<'_> {
    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        Ok(self.0.write_record(names)?)
    }

    fn row(&mut self, values: Vec<SqlValue>) -> io::Result<()> {
        Ok(self.0.write_record(values.iter().map(text))?)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Columns for people: as wide as what is in them, and no wider than the terminal together.
struct Table<'a> {
    out: &'a mut dyn Write,
    layout: Layout,
    names: Vec<String>,
    rows: Vec<Vec<SqlValue>>,
}

/// Columns between two.
const GAP: usize = 2;
/// No column is made narrower than this to make room for others.
const NARROWEST: usize = 8;

impl Answer for Table<'_> {
    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        self.names = names.to_vec();
        Ok(())
    }

    fn row(&mut self, values: Vec<SqlValue>) -> io::Result<()> {
        self.rows.push(values);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let cells = |row: &Vec<SqlValue>| row.iter().map(|value| clean(&text(value)).into_owned()).collect::<Vec<_>>();
        let header: Vec<String> = self.names.iter().map(|name| clean(name).to_uppercase()).collect();
        let rows: Vec<Vec<String>> = self.rows.iter().map(cells).collect();
        let widest = |column: usize| rows.iter().chain([&header]).map(|row| width(&row[column])).max().unwrap_or(0);
        let widths = fitting((0..header.len()).map(widest).collect(), self.layout.columns);
        let is_number: Vec<bool> = (0..header.len())
            .map(|column| self.rows.iter().all(|row| !matches!(row[column], SqlValue::Text(_) | SqlValue::Blob(_))))
            .collect();
        let line = |row: &[String]| {
            let cell = |column: usize| {
                let text = fit(&row[column], widths[column]).into_owned();
                let blanks = " ".repeat(widths[column] - width(&text));
                if is_number[column] { blanks + &text } else { text + &blanks }
            };
            let line = (0..row.len()).map(cell).collect::<Vec<_>>().join(&" ".repeat(GAP));
            line.trim_end().to_owned()
        };
        if !header.is_empty() {
            writeln!(self.out, "{}", self.layout.paint(DIM, line(&header)))?;
        }
        rows.iter().try_for_each(|row| writeln!(self.out, "{}", line(row)))
    }
}

/// The widths in so many columns: the widest give way first.
fn fitting(mut widths: Vec<usize>, columns: usize) -> Vec<usize> {
    let whole = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    while whole(&widths) > columns {
        let Some(widest) = widths.iter_mut().max() else { break };
        if *widest <= NARROWEST {
            break;
        }
        *widest -= 1;
    }
    widths
}
