//! `tandem traces`: the traces in the store, newest first.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use ::agent::sample::POLICY_ATTRIBUTE;
use ::query::{Comparison, Field, Query, Term, nearest_word};
use anyhow::bail;
use clap::Args;
use deliver::otlp::walk::{self, AnyValue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{TraceId, TraceSummary, format_duration, parse_duration};
use serde::Serialize;
use store::{Follower, Found, Reader, TraceFilter};

use crate::follow::{self, LOOK};
use crate::query::QueryArgument;
use crate::terminal::{self, BOLD, DIM, ERROR, Layout, clean, fit};

/// List the traces in the store, newest first, and those that come.
///
/// A query says what one span of the trace must be like: terms beside each other all fit, `or`, `not` and brackets join them
/// otherwise, a word by itself is looked for in names and routes. The flags are short forms of terms. docs/queries.md says all
/// of it.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Traces {
    #[command(flatten)]
    query: QueryArgument,
    /// Only traces with a span of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only traces with a span whose route or name contains this text.
    #[arg(long, value_name = "TEXT")]
    route: Option<String>,
    /// Only traces with an error.
    #[arg(long)]
    errors: bool,
    /// Only traces that took at least this long: 200ms, 1.5s.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    min_duration: Option<u64>,
    /// Only traces that took at most this long.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_duration: Option<u64>,
    /// Only traces that began within this time: 10m, 2h, 7d.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<u64>,
    /// Only traces that began before this time: 10m, 2h, 7d ago.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    until: Option<u64>,
    /// Only traces with a span (or resource) that has this attribute; may be repeated.
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Go on with those that come, oldest first, until Ctrl-C.
    #[arg(long, short, conflicts_with = "until")]
    follow: bool,
    /// Say of each trace which sampling policies kept it (docs/agent.md).
    #[arg(long)]
    why: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreFolder,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem traces                                         # the newest twenty
  tandem traces 'service=orders status=error'           # a span of orders failed
  tandem traces 'route=/cart duration>200ms'            # requests of a route that took long
  tandem traces 'anatomy.run_queue>10ms'                # something waited for a CPU
  tandem traces 'http.response.status_code>=500 -service=gateway'
  tandem traces 'service=orders status=error' --follow    # those that come, until Ctrl-C
  tandem traces 'checkout (error.type or db.system.name=postgresql)' --since 10m --json

Exit codes: 0, also when no trace fits; 1 when the store cannot be read; 2 when the query is wrong.";

/// A trace, and the policies that kept it.
#[derive(Serialize)]
struct Kept<'a> {
    #[serde(flatten)]
    trace: &'a TraceSummary,
    /// Nothing where nobody asked; empty where no sampling took place.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_by: Option<Vec<String>>,
}

/// Which store.
#[derive(Args)]
pub struct StoreFolder {
    /// Folder of the store [default: $TANDEM_STORE, else tandem/store in $XDG_STATE_HOME or ~/.local/state].
    #[arg(long = "store", value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl StoreFolder {
    /// The folder to use.
    pub fn path(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(store::default_folder)
    }
}

/// A length of time that a person wrote, ns.
pub fn duration(text: &str) -> Result<u64, String> {
    parse_duration(text).ok_or_else(|| "write a number and its unit: 200ms, 1.5s, 10m, 2h, 7d".to_owned())
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, for example http.route=/cart")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Traces {
    pub fn run(self) -> ExitCode {
        let query = match self.query.read() {
            Ok(query) => self.narrowed(query),
            Err(code) => return code,
        };
        terminal::report(|out| {
            let reader = Reader::open(&self.store.path())?;
            let filter = self.filter(query);
            // Before the list, so that nothing that comes meanwhile is lost between both.
            let follower = if self.follow { Some(Follower::new(&reader)?) } else { None };
            let mut traces = reader.traces(&filter)?;
            if let Some(follower) = follower {
                traces.reverse();
                return self.go_on(out, &reader, &filter, follower, traces);
            }
            if traces.is_empty() && !self.json {
                explain_nothing(&reader)?;
                explain_keys(&reader, &filter.query)?;
            } else {
                let traces = self.explained(&reader, &traces)?;
                let columns = Columns::of(&traces, Layout::of_stdout());
                self.write(out, &traces, &columns, true)?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    /// Shows what is there, then what comes.
    fn go_on(
        &self,
        out: &mut dyn Write,
        reader: &Reader,
        filter: &TraceFilter,
        mut follower: Follower,
        traces: Vec<TraceSummary>,
    ) -> anyhow::Result<ExitCode> {
        let columns = Columns::unknown(self.why, Layout::of_stdout());
        // What was shown while it grew is not shown again when it is whole.
        let shown: HashSet<TraceId> = traces.iter().map(|trace| trace.trace_id).collect();
        self.write(out, &self.explained(reader, &traces)?, &columns, true)?;
        follow::go_on(out, LOOK, |out| {
            let mut traces = follower.look(reader, filter)?;
            traces.retain(|trace| !shown.contains(&trace.trace_id));
            self.write(out, &self.explained(reader, &traces)?, &columns, false)
        })
    }

    fn write(
        &self,
        out: &mut dyn Write,
        traces: &[Kept<'_>],
        columns: &Columns,
        with_header: bool,
    ) -> anyhow::Result<()> {
        if self.json {
            for trace in traces {
                terminal::json_line(out, trace)?;
            }
            return Ok(());
        }
        if with_header {
            columns.header(out)?;
        }
        for kept in traces {
            columns.line(out, kept)?;
        }
        Ok(())
    }

    fn explained<'a>(&self, reader: &Reader, traces: &'a [TraceSummary]) -> anyhow::Result<Vec<Kept<'a>>> {
        let explained = |trace: &'a TraceSummary| {
            let kept_by = if self.why { Some(kept_by(reader, trace.trace_id)?) } else { None };
            Ok(Kept { trace, kept_by })
        };
        traces.iter().map(explained).collect()
    }

    fn filter(&self, query: Query) -> TraceFilter {
        TraceFilter {
            query,
            since_unix_nano: self.since.map(ago),
            until_unix_nano: self.until.map(ago),
            limit: self.limit,
        }
    }

    /// The query with what the flags say more.
    fn narrowed(&self, query: Query) -> Query {
        let long = |comparison, nanos: u64| Term::compares(Field::TraceDuration, comparison, nanos as f64);
        let terms = [
            self.service.as_ref().map(|service| Term::equals(Field::Service, service)),
            self.route.as_ref().map(Term::contains),
            self.errors.then(|| Term::compares(Field::TraceErrors, Comparison::Greater, 0.0)),
            self.min_duration.map(|nanos| long(Comparison::AtLeast, nanos)),
            self.max_duration.map(|nanos| long(Comparison::AtMost, nanos)),
        ];
        let attributes = self.attributes.iter().map(|(key, value)| Term::equals(Field::Attribute(key.clone()), value));
        terms.into_iter().flatten().chain(attributes).fold(query, Query::and)
    }
}

/// The trace whose id begins so; `last` is the newest one. `None`: there is none.
pub fn find(reader: &Reader, beginning: &str) -> anyhow::Result<Option<TraceId>> {
    match reader.find(beginning)? {
        Found::One(id) => Ok(Some(id)),
        Found::Nothing => Ok(None),
        Found::Several(ids) => {
            let list = ids.iter().map(TraceId::to_string).collect::<Vec<_>>().join("\n  ");
            bail!("several traces begin with {beginning}: say more of the id\n  {list}")
        }
        Found::NotAnId => {
            bail!("{} is not the beginning of a trace's id (hexadecimal digits, or `last`)", clean(beginning))
        }
    }
}

/// The policies that kept a trace, as its spans say it.
fn kept_by(reader: &Reader, trace: TraceId) -> anyhow::Result<Vec<String>> {
    let mut policies = Vec::new();
    for stored in reader.otlp_spans(trace)? {
        if let Ok(Some(AnyValue::String(name))) =
            walk::attribute(&stored.record, walk::SPAN_ATTRIBUTES, POLICY_ATTRIBUTE)
        {
            policies.push(walk::text(name).into_owned());
        }
    }
    policies.sort();
    policies.dedup();
    Ok(policies)
}

/// Says why there is nothing to see and what to do about it; on standard error, so that scripts get an empty list.
pub fn explain_nothing(reader: &Reader) -> anyhow::Result<()> {
    let any = !reader.traces(&TraceFilter { limit: 1, ..TraceFilter::default() })?.is_empty();
    if any {
        let services = reader.services()?;
        eprintln!(
            "no trace fits; the store has traces of {}",
            services.iter().map(|name| clean(name)).collect::<Vec<_>>().join(", ")
        );
        eprintln!("  tandem traces            shows the newest of all");
    } else {
        eprintln!("no traces yet in {}", reader.folder().display());
        eprintln!("  tandem go build -o app . && tandem run -- ./app     makes some: use the program meanwhile");
        eprintln!("  tandem traces --store DIR                           looks elsewhere");
    }
    Ok(())
}

/// Names the attributes that a query asks for and nobody has: a slip finds nothing, too.
fn explain_keys(reader: &Reader, query: &Query) -> anyhow::Result<()> {
    let seen = reader.attribute_keys()?;
    for key in query.attribute_keys() {
        if !seen.is_empty() && !seen.iter().any(|known| known == key) {
            let near =
                nearest_word(key, &seen).map_or_else(String::new, |near| format!("; did you mean {}?", clean(&near)));
            eprintln!("no span that came lately has an attribute {}{near}", clean(key));
        }
    }
    Ok(())
}

/// Shortest beginning of an id that is shown.
const ID_DIGITS: usize = 8;

/// Heading of the names of policies.
const KEPT_BY: &str = "KEPT BY";

/// Widest that they get.
const REASON: usize = 16;

/// How a list is laid out.
struct Columns {
    layout: Layout,
    /// Of the names of policies, where somebody asked for them.
    reason: Option<usize>,
}

impl Columns {
    /// As wide as what is in them.
    fn of(traces: &[Kept<'_>], layout: Layout) -> Self {
        let widest = traces.iter().filter_map(reason).map(|reason| terminal::width(&reason)).max();
        Self { layout, reason: widest.map(|width| width.clamp(KEPT_BY.len(), REASON)) }
    }

    /// Nobody knows what comes.
    fn unknown(with_reason: bool, layout: Layout) -> Self {
        Self { layout, reason: with_reason.then_some(REASON) }
    }

    fn header(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut header =
            format!("{:<14}  {:>9}  {:>5}  {:>3}  {:<ID_DIGITS$}  ", "WHEN", "DURATION", "SPANS", "ERR", "TRACE");
        if let Some(width) = self.reason {
            header += &format!("{KEPT_BY:<width$}  ");
        }
        writeln!(out, "{}", self.layout.paint(DIM, header + "WHAT, WHERE"))
    }

    fn line(&self, out: &mut dyn Write, kept: &Kept<'_>) -> std::io::Result<()> {
        let (trace, layout) = (kept.trace, self.layout);
        let id = trace.trace_id.to_string();
        let (errors, style) = match trace.error_count {
            0 => ("·".to_owned(), DIM),
            count => (count.to_string(), ERROR),
        };
        let before = format!(
            "{:<14}  {:>9}  {:>5}  ",
            moment(trace.start_unix_nano, "%m-%d %H:%M:%S"),
            format_duration(trace.duration_ns),
            trace.span_count
        );
        let reason = self.reason.map_or_else(String::new, |width| {
            let reason = reason(kept).filter(|reason| !reason.is_empty()).unwrap_or_else(|| "·".to_owned());
            let reason = fit(&reason, width).into_owned();
            let blanks = " ".repeat(width.saturating_sub(terminal::width(&reason)) + 2);
            reason + &blanks
        });
        let left = layout.columns.saturating_sub(before.len() + 3 + 2 + ID_DIGITS + 2 + terminal::width(&reason));
        let services = trace.services.iter().map(|name| clean(name)).collect::<Vec<_>>().join(", ");
        // The name is what people look for; services take what it leaves, but at least a third.
        let root = clean(&trace.root);
        let for_services =
            terminal::width(&services).min((left / 3).max(left.saturating_sub(terminal::width(&root) + 2)));
        let root = fit(&root, left.saturating_sub(for_services + 2)).into_owned();
        writeln!(
            out,
            "{before}{}  {}  {reason}{}  {}",
            layout.paint(style, format_args!("{errors:>3}")),
            layout.paint(DIM, &id[..ID_DIGITS]),
            layout.paint(if trace.error_count > 0 { ERROR } else { BOLD }, root),
            layout.paint(DIM, fit(&services, for_services)),
        )
    }
}

/// The policies that kept a trace, where somebody asked for them.
fn reason(kept: &Kept<'_>) -> Option<String> {
    kept.kept_by.as_ref().map(|names| clean(&names.join(", ")).into_owned())
}

/// This moment, ns since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

/// So long ago, ns since 1970.
pub fn ago(nanos: u64) -> u64 {
    now().saturating_sub(nanos)
}

/// A moment in the person's time zone.
pub fn moment(unix_nano: u64, format: &str) -> String {
    let time = Timestamp::from_nanosecond(unix_nano.into()).unwrap_or(Timestamp::MAX);
    time.to_zoned_datetime(TimeZone::system()).strftime(format).to_string()
}
