//! `tandem trace ID`: one trace as a tree, with times, errors and the anatomy of every span.

use std::io::Write;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use clap::Args;
use model::{
    Anatomy, Node, PARENT_SOURCE_ATTRIBUTE, Row, Source, Span, StatusCode, TraceId, Tree, Value, format_duration,
};
use store::{Changes, Reader, Trace as StoredTrace};

use crate::follow::{self, LOOK, Told};
use crate::terminal::{self, BAR, BOLD, DIM, ERROR, Layout, NOTICE, clean, fit, width, wrap};
use crate::traces::{StoreFolder, explain_nothing, find, moment};

/// Show one trace: its spans as a tree, with times, errors and where the time went.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Trace {
    /// The trace's id or its beginning; `last` is the newest trace.
    id: String,
    /// Show it again as it grows, until Ctrl-C; wait for it where it is not there yet.
    #[arg(long, short)]
    follow: bool,
    /// One JSON object a line: the spans.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreFolder,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem trace last        # the newest
  tandem trace 4bf92f35    # by the beginning of its id, as `tandem traces` shows it
  tandem trace last --json # one span a line
  tandem trace 4bf92f35 --follow # and again as it grows, until Ctrl-C; by its whole id from its first span on

Exit codes: 0; 1 when there is no such trace, or when the store cannot be read.";

impl Trace {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
            let reader = Reader::open(&self.store.path())?;
            if self.follow {
                return self.go_on(out, reader);
            }
            let found = find(&reader, &self.id)?.map(|id| reader.trace(id)).transpose()?.flatten();
            let Some(trace) = found else {
                match self.id.as_str() {
                    "last" => explain_nothing(&reader)?,
                    id => eprintln!("tandem: no trace begins with {id}; tandem traces lists them"),
                }
                return Ok(ExitCode::FAILURE);
            };
            if self.json {
                trace.spans.iter().try_for_each(|span| terminal::json_line(out, span))?;
            } else {
                out.write_all(drawn(&reader, &trace)?.as_bytes())?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    /// Shows it as it is, and again when it has changed; as JSON the spans that have come.
    fn go_on(&self, out: &mut dyn Write, reader: Reader) -> anyhow::Result<ExitCode> {
        let mut followed = Followed { changes: Changes::of(&reader), reader, id: None };
        if followed.find(&self.id)?.is_none() {
            let what = if self.id == "last" { "a trace" } else { &format!("trace {}", self.id) };
            eprintln!("tandem: waiting for {what} in {}; Ctrl-C ends it", followed.reader.folder().display());
        }
        if !self.json {
            return follow::show_anew(out, LOOK, || {
                let trace = followed.look(&self.id)?;
                trace.map(|trace| drawn(&followed.reader, &trace)).transpose()
            });
        }
        let mut told = Told::default();
        let mut tell = |out: &mut dyn Write| {
            let Some(trace) = followed.look(&self.id)? else { return Ok(()) };
            let identity = |span: &Span| (span.span_id, span.start_unix_nano, span.duration_ns);
            let news = told.news(&trace.spans, identity);
            Ok(news.into_iter().try_for_each(|span| terminal::json_line(out, span))?)
        };
        tell(out)?;
        follow::go_on(out, LOOK, tell)
    }
}

/// A trace that may not be there yet, and that may grow.
struct Followed {
    reader: Reader,
    changes: Changes,
    /// Which one it is, once it has been there: of several later ones that begin alike, and of later `last` ones, none is meant.
    id: Option<TraceId>,
}

impl Followed {
    fn find(&mut self, beginning: &str) -> anyhow::Result<Option<TraceId>> {
        if self.id.is_none() {
            self.id = find(&self.reader, beginning)?;
        }
        Ok(self.id)
    }

    /// The trace, where it may have changed since the last look.
    fn look(&mut self, beginning: &str) -> anyhow::Result<Option<StoredTrace>> {
        if !self.changes.are_there()? {
            return Ok(None);
        }
        let Some(id) = self.find(beginning)? else { return Ok(None) };
        let gone = || format!("trace {id} is not in the store any more: the oldest make room for new ones");
        self.reader.trace(id)?.with_context(gone).map(Some)
    }
}

/// A trace as people see it.
fn drawn(reader: &Reader, trace: &StoredTrace) -> anyhow::Result<String> {
    let layout = Layout::of_stdout();
    let mut text = Vec::new();
    print(&mut text, trace, layout)?;
    let id = trace.summary.trace_id;
    if reader.has_profile(id)? {
        let hint = format!("\nwhat its code did: tandem profile --trace {}", &id.to_string()[..8]);
        writeln!(text, "{}", layout.paint(DIM, hint))?;
    }
    Ok(String::from_utf8(text)?)
}

/// Columns of the moments and durations.
const TIME: usize = 8;
/// Columns of the bar.
const BAR_CELLS: usize = 10;
/// Columns beside the tree, on its right.
const BESIDE_TREE: usize = 1 + TIME + 1 + TIME + 2 + BAR_CELLS;

/// Prints a trace for people.
pub fn print(out: &mut dyn Write, trace: &StoredTrace, layout: Layout) -> std::io::Result<()> {
    let tree = Tree::new(&trace.spans);
    let summary = &trace.summary;
    writeln!(out, "{} {}", layout.paint(DIM, "trace"), summary.trace_id)?;
    writeln!(out, "{}", layout.paint(BOLD, fit(&clean(&summary.root), layout.columns)))?;
    let count = |count: u64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let errors = (if summary.error_count > 0 { ERROR } else { DIM }, count(summary.error_count, "error"));
    let facts = [
        (BOLD, format_duration(tree.duration_ns)),
        (Style::new(), count(trace.spans.len() as u64, "span")),
        (Style::new(), count(summary.services.len() as u64, "service")),
        errors,
        (Style::new(), moment(summary.start_unix_nano, "%Y-%m-%d %H:%M:%S")),
    ];
    write_pieces(out, layout, layout.columns, &facts)?;
    writeln!(out)?;
    let tree_columns = layout.columns - BESIDE_TREE;
    let header = format!("{} {:>TIME$} {:>TIME$}", " ".repeat(tree_columns), "START", "DURATION");
    writeln!(out, "{}", layout.paint(DIM, header))?;

    let printer = Printer { trace, tree: &tree, layout, tree_columns };
    let mut open = Vec::new();
    for index in 0..tree.rows.len() {
        open.truncate(tree.rows[index].depth);
        printer.row(out, index, &open)?;
        open.push(!tree.rows[index].last);
    }
    Ok(())
}

/// Writes pieces with dots between them on one line, as many as fit.
fn write_pieces(
    out: &mut dyn Write,
    layout: Layout,
    columns: usize,
    pieces: &[(Style, String)],
) -> std::io::Result<()> {
    let mut used = 0;
    for (style, piece) in pieces {
        let separator = if used > 0 { " · " } else { "" };
        let piece = fit(piece, columns);
        if used > 0 && used + width(separator) + width(&piece) > columns {
            break;
        }
        write!(out, "{}{}", layout.paint(DIM, separator), layout.paint(*style, &piece))?;
        used += width(separator) + width(&piece);
    }
    writeln!(out)
}

struct Printer<'a> {
    trace: &'a StoredTrace,
    tree: &'a Tree,
    layout: Layout,
    /// Columns of the tree, left of the times.
    tree_columns: usize,
}

impl Printer<'_> {
    /// `open`: for each ancestor, whether siblings of it follow.
    fn row(&self, out: &mut dyn Write, index: usize, open: &[bool]) -> std::io::Result<()> {
        let row = &self.tree.rows[index];
        let layout = self.layout;
        let (before, after) = branches(row, open, self.tree_columns / 2);
        let left = self.tree_columns - width(&before);
        write!(out, "{}", layout.paint(DIM, &before))?;
        let used = match row.node {
            Node::Missing(id) => {
                let text = format!("missing span {id}");
                let text = fit(&text, left);
                write!(out, "{}", layout.paint(NOTICE, &text))?;
                width(&text)
            }
            Node::Span(span) => self.title(out, &self.trace.spans[span], left)?,
        };
        let start = row.start_unix_nano - self.tree.start_unix_nano;
        let duration = match row.node {
            Node::Span(_) => format_duration(row.duration_ns),
            Node::Missing(_) => "?".to_owned(),
        };
        writeln!(
            out,
            "{} {} {duration:>TIME$}  {}",
            " ".repeat(left - used),
            layout.paint(DIM, format_args!("{:>TIME$}", format_duration(start))),
            layout.paint(BAR, bar(start, row.duration_ns, self.tree.duration_ns)),
        )?;
        match row.node {
            Node::Missing(_) => Ok(()),
            Node::Span(span) => self.details(out, &self.trace.spans[span], &after),
        }
    }

    /// Name, service and what is special, in at most so many columns. Tells how many it took.
    fn title(&self, out: &mut dyn Write, span: &Span, columns: usize) -> std::io::Result<usize> {
        let layout = self.layout;
        let failed = span.status.code == StatusCode::Error;
        let mark = if failed { "✗ " } else { "" };
        let note = match (span.unfinished, span.source) {
            (true, _) => " (unfinished)",
            (_, Source::Woven) => "",
            (_, Source::Api) => " (by hand)",
            (_, Source::Otlp) => " (received)",
            (_, Source::Uprobe) => " (probed)",
            (_, Source::Socket) => " (from socket)",
        };
        let name = clean(&span.name);
        let service = clean(&span.service);
        // The name matters most; the service is cut first, but not to nothing.
        let left = columns.saturating_sub(width(mark) + width(note) + 2);
        let for_service = width(&service).min(left.saturating_sub(width(&name)).max(left / 4));
        let name = fit(&name, left - for_service);
        let service = fit(&service, for_service);
        write!(
            out,
            "{}{}  {}{}",
            layout.paint(ERROR, mark),
            layout.paint(if failed { ERROR } else { BOLD }, &name),
            layout.paint(DIM, &service),
            layout.paint(NOTICE, note),
        )?;
        Ok(width(mark) + width(&name) + 2 + width(&service) + width(note))
    }

    /// What is said below a span: why it failed, how sure its place is, where its time went.
    fn details(&self, out: &mut dyn Write, span: &Span, after: &str) -> std::io::Result<()> {
        let layout = self.layout;
        let left = layout.columns - width(after);
        if span.status.code == StatusCode::Error {
            for line in wrap(&clean(&span.status.message), left) {
                writeln!(out, "{}{}", layout.paint(DIM, after), layout.paint(ERROR, line))?;
            }
        }
        let parent: Vec<_> = parent_piece(span).into_iter().collect();
        let left_of_it = left - parent.iter().map(|piece| width(&piece.1) + 3).sum::<usize>().min(left);
        let anatomy = span.anatomy.as_ref().map(|anatomy| anatomy_pieces(anatomy, left_of_it)).unwrap_or_default();
        let pieces = [parent, anatomy].concat();
        if !pieces.is_empty() {
            write!(out, "{}", layout.paint(DIM, after))?;
            write_pieces(out, layout, left, &pieces)?;
        }
        Ok(())
    }
}

/// How the parent of a span was found, where that was not the program's own context, and whether that can be wrong
/// (docs/unwoven.md, docs/sockets.md).
fn parent_piece(span: &Span) -> Option<(Style, String)> {
    span.parent_span_id?;
    let Some(Value::String(how)) = span.attributes.get(PARENT_SOURCE_ATTRIBUTE) else { return None };
    let (found, sure) = match how.as_str() {
        "remote" => ("traceparent", true),
        "connection" => ("connection", true),
        "woven" => ("woven goroutine", true),
        "explicit" => ("context.Context", true),
        "goroutine" => ("goroutine", false),
        "ancestor" => ("goroutine's starter", false),
        "thread" => ("thread", false),
        "only" => ("being the only request", false),
        other => (other, false),
    };
    let doubt = if sure { "" } else { ", not certain" };
    Some((DIM, format!("parent by {}{doubt}", clean(found))))
}

/// The lines of the tree before a row and before what is said below it, in at most so many columns.
fn branches(row: &Row, open: &[bool], most: usize) -> (String, String) {
    let below = if row.children > 0 { "│ " } else { "  " };
    if row.depth == 0 {
        return (String::new(), below.to_owned());
    }
    let ancestors: String = open[1..].iter().map(|open| if *open { "│ " } else { "  " }).collect();
    let ancestors = if width(&ancestors) + 4 > most { format!("⋯{} ", row.depth) } else { ancestors };
    let (branch, beside) = if row.last { ("└ ", "  ") } else { ("├ ", "│ ") };
    (format!("{ancestors}{branch}"), format!("{ancestors}{beside}{below}"))
}

/// Where in the trace a span lies, in eighths of a cell at its end; never nothing.
fn bar(start: u64, duration: u64, whole: u64) -> String {
    const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let eighths = |nanos: u64| (u128::from(nanos) * 8 * BAR_CELLS as u128 / u128::from(whole.max(1))) as usize;
    let first = (eighths(start) / 8).min(BAR_CELLS - 1);
    let end = eighths(start.saturating_add(duration)).clamp(first * 8 + 1, BAR_CELLS * 8);
    let mut bar = " ".repeat(first);
    for cell in first..BAR_CELLS {
        match end.saturating_sub(cell * 8) {
            0 => break,
            filled => bar.push(EIGHTHS[filled.min(8) - 1]),
        }
    }
    bar
}

/// The parts of an anatomy, largest first, with their times where there is room for all; parts under 1 % are folded.
fn anatomy_pieces(anatomy: &Anatomy, columns: usize) -> Vec<(Style, String)> {
    let whole = anatomy.wall_ns.max(1) as f64;
    let mut parts: Vec<(&str, u64)> =
        anatomy.parts_ns.iter().map(|(part, nanos)| (part.as_str(), *nanos)).filter(|part| part.1 > 0).collect();
    parts.sort_by_key(|&(part, nanos)| (std::cmp::Reverse(nanos), part));
    let small = parts.iter().position(|part| (part.1 as f64) < whole / 100.0).unwrap_or(parts.len()).max(1);
    let folded = parts.split_off(small.min(parts.len()));

    let pieces = |with_times: bool| -> Vec<(Style, String)> {
        let piece = |&(part, nanos): &(&str, u64)| {
            let time = if with_times { format!(" {}", format_duration(nanos)) } else { String::new() };
            (part_style(part), format!("{}{time} {:.0} %", clean(part), nanos as f64 / whole * 100.0))
        };
        let rest: u64 = folded.iter().map(|part| part.1).sum();
        let rest = (!folded.is_empty()).then(|| (DIM, format!("{} more {}", folded.len(), format_duration(rest))));
        parts.iter().map(piece).chain(rest).collect()
    };
    let columns_of = |pieces: &[(Style, String)]| pieces.iter().map(|piece| width(&piece.1) + 3).sum::<usize>();
    let with_times = pieces(true);
    if columns_of(&with_times) <= columns + 3 { with_times } else { pieces(false) }
}

/// Colours of the groups of parts; the page uses the same hues.
fn part_style(part: &str) -> Style {
    let colour = match part {
        "on_cpu" => AnsiColor::Green,
        "run_queue" => AnsiColor::Red,
        "go_runnable" => AnsiColor::Yellow,
        _ if part.starts_with("go_") => AnsiColor::Blue,
        _ => AnsiColor::Magenta,
    };
    colour.on_default()
}
