//! `tandem profile`: where the time of programs went, function by function, in all of what they do or in one trace, span or
//! route.
//!
//! Exit codes: 0, also when no sample fits; 1 when the store cannot be read or the trace or span is not known.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ::query::{Query, Term};
use anyhow::Context;
use clap::Args;
use model::{Frame, ProfileKind, ProfileSample, TraceId, format_duration};
use serde::Serialize;
use store::{Changes, ProfileFilter, Reader, StoredSample};

use crate::follow::{self, Told};
use crate::logs::find;
use crate::pprof;
use crate::query::QueryArgument;
use crate::terminal::{self, BOLD, DIM, Layout, clean, fit, width};
use crate::traces::{StoreFolder, ago, duration};

/// Show where time went by function: on the CPU, and waiting.
///
/// Programs are sampled by `tandem run --profile` and `tandem agent --profile`. A sample carries the trace and the span that
/// its goroutine was in. FLAT is the time in a function itself, CUM includes what it calls.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Profile {
    #[command(flatten)]
    query: QueryArgument,
    /// Only time on the CPU.
    #[arg(long, conflicts_with = "off_cpu")]
    cpu: bool,
    /// Only time off the CPU: blocked in system calls or by faults, and parked by Go.
    #[arg(long)]
    off_cpu: bool,
    /// Only within this span and its children: its id, or the beginning of it.
    #[arg(long, value_name = "ID", conflicts_with = "trace")]
    span: Option<String>,
    /// Only within this trace: its id or the beginning of one that is in the store; `last` is the newest trace.
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// Only within spans whose route or name contains this text, and their children.
    #[arg(long, value_name = "TEXT")]
    route: Option<String>,
    /// Only of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only samples taken within this time: 10m, 2h, 7d [default: 1h; all of a trace or span].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<u64>,
    /// Show who calls whom instead of a list of functions.
    #[arg(long)]
    tree: bool,
    /// At most so many functions.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Show it again as samples come, until Ctrl-C; as JSON those that come.
    #[arg(long, short, conflicts_with = "pprof")]
    follow: bool,
    /// Write a profile for `go tool pprof` to a file; samples have the labels trace_id, span_id, operation and route.
    #[arg(long, value_name = "FILE")]
    pprof: Option<PathBuf>,
    /// One JSON object a line: the samples.
    #[arg(long, conflicts_with = "pprof")]
    json: bool,
    #[command(flatten)]
    store: StoreFolder,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem run --profile -- ./shop         # samples while the program runs
  tandem profile                         # functions of the last hour
  tandem profile --route /cart --tree    # who called whom while /cart was served
  tandem profile 'status=error'          # within spans that fit, and their children
  tandem profile --trace last --off-cpu  # what the newest trace waited for
  tandem profile --since 1m --follow     # of the last minute, again and again until Ctrl-C
  tandem profile --pprof cpu.pb.gz       # for go tool pprof -http=: cpu.pb.gz

Exit codes: 0, also when no sample fits; 1 when the trace or span is not known, or when the store cannot be read.";

/// What is looked at when nobody says how far back.
const USUAL_TIME: u64 = 3600 * 1_000_000_000;
/// How often samples that come are looked for.
const LOOK: Duration = Duration::from_secs(2);
/// More samples are not looked at in one go.
const MOST_SAMPLES: usize = 2_000_000;

impl Profile {
    pub fn run(self) -> ExitCode {
        let query = match self.query.read() {
            Ok(query) => self.route.iter().map(Term::contains).fold(query, Query::and),
            Err(code) => return code,
        };
        terminal::report(|out| {
            let reader = Reader::open(&self.store.path())?;
            let Some(filter) = self.filter(&reader, query)? else { return Ok(ExitCode::FAILURE) };
            if self.follow {
                return self.go_on(out, &reader, filter);
            }
            let samples = reader.profile(&filter)?;
            if let Some(file) = &self.pprof {
                return write_pprof(file, &samples, filter.kind);
            }
            if self.json {
                samples.iter().try_for_each(|stored| terminal::json_line(out, &Line::of(stored)))?;
            } else if samples.is_empty() {
                explain_nothing(&reader, &filter)?;
            } else {
                self.print(out, &samples)?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    /// Shows what is there, and again when something has come; as JSON the samples that have come.
    fn go_on(&self, out: &mut dyn Write, reader: &Reader, mut filter: ProfileFilter) -> anyhow::Result<ExitCode> {
        let mut changes = Changes::of(reader);
        let mut is_first = true;
        let mut look = || {
            filter.since_unix_nano = self.earliest(filter.trace);
            let samples = if changes.are_there()? { Some(reader.profile(&filter)?) } else { None };
            if std::mem::take(&mut is_first) && samples.as_ref().is_none_or(Vec::is_empty) {
                explain_nothing(reader, &filter)?;
                eprintln!("tandem: waiting for some; Ctrl-C ends it");
                return Ok(None);
            }
            Ok::<_, anyhow::Error>(samples)
        };
        if self.json {
            let mut told = Told::default();
            let mut tell = |out: &mut dyn Write| {
                let Some(samples) = look()? else { return Ok(()) };
                let news = told.news(&samples, |stored| (stored.number, stored.sample.time_unix_nano));
                Ok(news.into_iter().try_for_each(|stored| terminal::json_line(out, &Line::of(stored)))?)
            };
            tell(out)?;
            return follow::go_on(out, LOOK, tell);
        }
        follow::show_anew(out, LOOK, || {
            let Some(samples) = look()? else { return Ok(None) };
            let mut text = Vec::new();
            self.print(&mut text, &samples)?;
            Ok(Some(String::from_utf8(text)?))
        })
    }

    /// Where time went, on the CPU and off it.
    fn print(&self, out: &mut dyn Write, samples: &[StoredSample]) -> io::Result<()> {
        let layout = Layout::of_stdout();
        if samples.is_empty() {
            writeln!(out, "{}", layout.paint(DIM, "no sample of this time"))?;
        }
        for (index, kind) in ProfileKind::ALL.into_iter().enumerate() {
            let of_kind: Vec<&ProfileSample> =
                samples.iter().map(|stored| &stored.sample).filter(|sample| sample.kind == kind).collect();
            if of_kind.is_empty() {
                continue;
            }
            if index > 0 && samples.len() > of_kind.len() {
                writeln!(out)?;
            }
            write_heading(out, kind, &of_kind, layout)?;
            match self.tree {
                true => write_tree(out, &of_kind, layout)?,
                false => write_functions(out, &of_kind, self.limit, layout)?,
            }
        }
        if samples.len() == MOST_SAMPLES {
            let cut = format!("\nthese are the newest {MOST_SAMPLES} samples only");
            writeln!(out, "{}", layout.paint(DIM, cut))?;
        }
        Ok(())
    }

    /// How far back is looked: of a trace or span to its beginning, unless somebody says otherwise.
    fn earliest(&self, trace: Option<TraceId>) -> Option<u64> {
        self.since.or(trace.is_none().then_some(USUAL_TIME)).map(ago)
    }

    /// What is asked for; `None` when a trace or span is not known, which has been said.
    fn filter(&self, reader: &Reader, query: Query) -> anyhow::Result<Option<ProfileFilter>> {
        let mut trace = None;
        if let Some(beginning) = &self.trace {
            trace = find(reader, beginning)?;
            if trace.is_none() {
                return Ok(None);
            }
        }
        let mut span = None;
        if let Some(beginning) = &self.span {
            match reader.find_spans(beginning)?.as_deref() {
                Some([(of_trace, found)]) => (trace, span) = (Some(*of_trace), Some(*found)),
                Some([]) => eprintln!("tandem: no span in the store begins with {beginning}"),
                Some(several) => {
                    let list: Vec<_> = several.iter().map(|(_, span)| span.to_string()).collect();
                    eprintln!(
                        "tandem: several spans begin with {beginning}: say more of the id\n  {}",
                        list.join("\n  ")
                    );
                }
                None => {
                    eprintln!("tandem: {} is not the beginning of a span's id (hexadecimal digits)", clean(beginning))
                }
            }
            if span.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(ProfileFilter {
            kind: match (self.cpu, self.off_cpu) {
                (true, _) => Some(ProfileKind::Cpu),
                (_, true) => Some(ProfileKind::OffCpu),
                _ => None,
            },
            trace,
            span,
            query,
            service: self.service.clone(),
            since_unix_nano: self.earliest(trace),
            with_operations: self.json || self.pprof.is_some(),
            limit: MOST_SAMPLES,
        }))
    }
}

fn write_pprof(file: &Path, samples: &[StoredSample], kind: Option<ProfileKind>) -> anyhow::Result<ExitCode> {
    let shown = kind.unwrap_or(ProfileKind::Cpu);
    let context = || format!("cannot write {}", file.display());
    pprof::write(File::create(file).with_context(context)?, samples, shown).with_context(context)?;
    let (count, file) = (samples.len(), file.display());
    eprintln!("tandem: {count} samples in {file}; look at them with: go tool pprof -http=: {file}");
    Ok(ExitCode::SUCCESS)
}

/// A sample as JSON.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    sample: &'a ProfileSample,
    service: &'a str,
    operation: Option<&'a str>,
    route: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(stored: &'a StoredSample) -> Self {
        Self {
            sample: &stored.sample,
            service: &stored.service,
            operation: stored.operation.as_deref(),
            route: stored.route.as_deref(),
        }
    }
}

/// Says why there is nothing to see and what to do about it; on standard error, so that scripts get an empty list.
fn explain_nothing(reader: &Reader, filter: &ProfileFilter) -> anyhow::Result<()> {
    let any = ProfileFilter { limit: 1, ..ProfileFilter::default() };
    if reader.profile(&any)?.is_empty() {
        eprintln!("no profile samples yet in {}", reader.folder().display());
        eprintln!("  tandem run --profile -- ./app    makes some: use the program meanwhile");
        eprintln!("  tandem profile --store DIR       looks elsewhere");
        return Ok(());
    }
    eprintln!("no profile sample fits; there are others");
    if filter.trace.is_some() {
        eprintln!("  a span of a few milliseconds is seldom hit: --route takes all that are like it");
        eprintln!("  tandem run --profile=HZ looks more often");
    } else if filter.since_unix_nano.is_some() {
        eprintln!("  tandem profile --since 7d        looks further back");
    }
    Ok(())
}

fn write_heading(out: &mut dyn Write, kind: ProfileKind, samples: &[&ProfileSample], layout: Layout) -> io::Result<()> {
    let what = match kind {
        ProfileKind::Cpu => "on CPU",
        ProfileKind::OffCpu => "off CPU",
    };
    let time: u64 = samples.iter().map(|sample| sample.value_ns).sum();
    let in_spans: u64 = samples.iter().filter(|sample| sample.span_id.is_some()).map(|sample| sample.value_ns).sum();
    let facts = format!(
        " {} in {} samples, {:.0} % of it in spans",
        format_duration(time),
        samples.len(),
        share(in_spans, time)
    );
    writeln!(out, "{}{}", layout.paint(BOLD, what), layout.paint(DIM, facts))
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// What is known of a function.
#[derive(Default)]
struct Function<'a> {
    flat: u64,
    cumulative: u64,
    /// Time by line: of the function itself, else of what it calls there.
    lines: HashMap<(&'a str, u32), (u64, u64)>,
}

fn functions<'a>(samples: &[&'a ProfileSample]) -> Vec<(&'a str, Function<'a>)> {
    let mut functions: HashMap<&str, Function<'_>> = HashMap::new();
    let mut seen: Vec<&str> = Vec::new();
    for sample in samples {
        seen.clear();
        for (index, frame) in sample.stack.iter().enumerate() {
            let name = frame.function.as_str();
            let function = functions.entry(name).or_default();
            let line = function.lines.entry((&frame.file, frame.line)).or_default();
            if index == 0 {
                function.flat += sample.value_ns;
                line.0 += sample.value_ns;
            }
            if !seen.contains(&name) {
                seen.push(name); // recursion counts once
                function.cumulative += sample.value_ns;
                line.1 += sample.value_ns;
            }
        }
    }
    let mut functions: Vec<_> = functions.into_iter().collect();
    functions.sort_by(|(one_name, one), (other_name, other)| {
        (other.flat, other.cumulative, one_name).cmp(&(one.flat, one.cumulative, other_name))
    });
    functions
}

const TIME: usize = 8;

fn write_functions(out: &mut dyn Write, samples: &[&ProfileSample], limit: usize, layout: Layout) -> io::Result<()> {
    let whole: u64 = samples.iter().map(|sample| sample.value_ns).sum();
    let header = format!("{:>TIME$} {:>5}  {:>TIME$} {:>5}  FUNCTION, HOTTEST LINE", "FLAT", "", "CUM", "");
    writeln!(out, "{}", layout.paint(DIM, header))?;
    let functions = functions(samples);
    for (name, function) in functions.iter().take(limit) {
        let before = format!(
            "{:>TIME$} {:>3.0} %  {:>TIME$} {:>3.0} %  ",
            format_duration(function.flat),
            share(function.flat, whole),
            format_duration(function.cumulative),
            share(function.cumulative, whole),
        );
        let hottest = function.lines.iter().max_by_key(|(place, times)| (**times, std::cmp::Reverse(**place)));
        let place = hottest.map(|(&(file, line), _)| place(file, line)).unwrap_or_default();
        let left = layout.columns.saturating_sub(width(&before));
        let name = clean(name);
        let for_place = width(&place).min(left / 3).min(left.saturating_sub(width(&name) + 2).max(left / 4));
        let name = fit_end(&name, left.saturating_sub(for_place + 2));
        writeln!(out, "{before}{}  {}", layout.paint(BOLD, name), layout.paint(DIM, fit_end(&place, for_place)),)?;
    }
    if functions.len() > limit {
        let rest: u64 = functions[limit..].iter().map(|(_, function)| function.flat).sum();
        let line = format!(
            "{:>TIME$} {:>3.0} %  {} more functions",
            format_duration(rest),
            share(rest, whole),
            functions.len() - limit
        );
        writeln!(out, "{}", layout.paint(DIM, line))?;
    }
    Ok(())
}

/// `file.go:12`; its folders are in JSON and pprof.
fn place(file: &str, line: u32) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    if line == 0 { clean(base).into_owned() } else { format!("{}:{line}", clean(base)) }
}

/// The end of a text is what tells functions apart.
fn fit_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept: Vec<char> = Vec::new();
    for character in text.chars().rev() {
        if width(&kept.iter().collect::<String>()) + 2 > columns {
            break;
        }
        kept.push(character);
    }
    kept.push('…');
    kept.iter().rev().collect::<String>().chars().take(columns.max(1)).collect()
}

/// A function, called by the one above it.
#[derive(Default)]
struct Call<'a> {
    time: u64,
    callees: BTreeMap<&'a str, Call<'a>>,
}

/// Calls that took less are left out, in percent of all.
const LEAST_SHARE: f64 = 0.5;

fn write_tree(out: &mut dyn Write, samples: &[&ProfileSample], layout: Layout) -> io::Result<()> {
    let mut root = Call::default();
    for sample in samples {
        root.time += sample.value_ns;
        let mut call = &mut root;
        for Frame { function, .. } in sample.stack.iter().rev() {
            call = call.callees.entry(function.as_str()).or_default();
            call.time += sample.value_ns;
        }
    }
    let header = format!("{:>TIME$} {:>5}  WHO CALLED WHOM; LESS THAN {LEAST_SHARE} % IS LEFT OUT", "CUM", "");
    writeln!(out, "{}", layout.paint(DIM, header))?;
    let whole = root.time;
    // Depth first; a call that is the only one of its caller is not indented further, or nothing would fit.
    let mut open: Vec<(&str, &Call<'_>, usize)> = Vec::new();
    push_callees(&mut open, &root, 0, whole);
    while let Some((name, call, depth)) = open.pop() {
        let before = format!("{:>TIME$} {:>3.0} %  ", format_duration(call.time), share(call.time, whole));
        let indent = (2 * depth).min(layout.columns / 3);
        let name = fit(&clean(name), layout.columns.saturating_sub(width(&before) + indent)).into_owned();
        let bold = if share(call.time, whole) >= 10.0 { BOLD } else { DIM };
        writeln!(out, "{before}{}{}", " ".repeat(indent), layout.paint(bold, name))?;
        push_callees(&mut open, call, depth, whole);
    }
    Ok(())
}

fn push_callees<'a>(open: &mut Vec<(&'a str, &'a Call<'a>, usize)>, call: &'a Call<'a>, depth: usize, whole: u64) {
    let mut callees: Vec<_> =
        call.callees.iter().filter(|(_, callee)| share(callee.time, whole) >= LEAST_SHARE).collect();
    callees.sort_by_key(|(name, callee)| (callee.time, std::cmp::Reverse(**name)));
    let deeper = depth + usize::from(callees.len() > 1 || callees.iter().any(|(_, callee)| callee.time < call.time));
    open.extend(callees.into_iter().map(|(name, callee)| (*name, callee, deeper)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn sample(value_ns: u64, functions: &[&str]) -> ProfileSample {
        let frame = |(line, function): (usize, &&str)| Frame {
            function: (*function).to_owned(),
            file: "/src/a.go".to_owned(),
            line: line as u32 + 1,
            ..Frame::default()
        };
        ProfileSample {
            kind: ProfileKind::Cpu,
            time_unix_nano: 1,
            value_ns,
            trace_id: None,
            span_id: None,
            thread_id: 1,
            stack: Arc::new(functions.iter().enumerate().map(frame).collect()),
        }
    }

    fn printed(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Vec<String> {
        let mut out = Vec::new();
        write(&mut out).expect("written");
        String::from_utf8(out).expect("text").lines().map(|line| line.trim_end().to_owned()).collect()
    }

    const LAYOUT: Layout = Layout { columns: 60, colours: false };

    /// A function that calls itself took the time once; what is cut off is counted.
    #[test]
    fn functions_are_sorted_by_their_own_time() {
        let samples = [sample(30, &["main.f", "main.f", "main.main"]), sample(10, &["main.g", "main.main"])];
        let lines = printed(|out| write_functions(out, &samples.iter().collect::<Vec<_>>(), 2, LAYOUT));
        assert!(lines[1].starts_with("   30 ns  75 %     30 ns  75 %  main.f  a.go:1"), "{lines:#?}");
        assert!(lines[2].starts_with("   10 ns  25 %     10 ns  25 %  main.g"), "{lines:#?}");
        assert_eq!(lines[3], "    0 ns   0 %  1 more functions");
    }

    /// Only where time divides a tree gets broader.
    #[test]
    fn trees_are_as_broad_as_they_must_be() {
        let samples = [sample(30, &["main.deep", "main.f", "main.main"]), sample(10, &["main.g", "main.main"])];
        let lines = printed(|out| write_tree(out, &samples.iter().collect::<Vec<_>>(), LAYOUT));
        let shown: Vec<&str> = lines[1..].iter().map(|line| &line[16..]).collect();
        assert_eq!(shown, ["main.main", "  main.f", "  main.deep", "  main.g"]);
    }

    #[test]
    fn the_end_of_a_name_is_kept() {
        assert_eq!(fit_end("net/http.(*conn).serve", 12), "…conn).serve");
        assert_eq!((fit_end("short", 12), fit_end("short", 0)), ("short".to_owned(), "…".to_owned()));
    }
}
