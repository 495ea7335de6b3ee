//! `tandem advise`: what nobody sees of programs, and the change that ends it; with `--apply` it is made.
//!
//! `facts` gathers what is known, the crate `advise` judges it. Exit codes: 0, also when there is nothing to say; 1 when the store
//! cannot be read, or something could not be applied; those of the weave when the project here cannot be read.

mod facts;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use advise::{Act, Advice, Edit, ServiceTime, edit};
use anyhow::{Context, bail};
use clap::Args;
use model::{FunctionPattern, format_duration};
use record::Setting;
use serde_json::json;

use crate::failure;
use crate::functions::Programs;
use crate::terminal::{self, BOLD, DIM, Layout, NOTICE, clean, wrap};
use crate::traces::{StoreFolder, ago, duration};

use facts::Gathered;

/// Say what nobody sees of programs, with the evidence, and what to change: a patch of tandem.yaml, or a command for now.
///
/// Time in spans that nothing explains, functions that are hot and have no span, libraries that nobody owns, traces that lost
/// their context, join points that cost more than they tell. docs/advise.md says how each is found.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Advise {
    /// Only of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only by what was seen within this time: 10m, 2h, 7d [default: 1h].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<u64>,
    /// The project whose tandem.yaml is to be changed [default: the one here].
    #[arg(short = 'C', value_name = "DIR", default_value = ".")]
    project: PathBuf,
    /// Change tandem.yaml, and switch dormant functions on in the programs that run. Nothing else is touched.
    #[arg(long)]
    apply: bool,
    /// One JSON object a line: services, then advice.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreFolder,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem agent --profile           # lets it know functions, too
  tandem advise                    # everything, the most valuable first
  tandem advise --service shop     # of one service
  tandem advise --apply            # does what can be done from here

Exit codes: 0, also when there is nothing to say; 1 when the store cannot be read, or something could not be applied;
3 when tandem.yaml cannot be read.";

/// What is looked at when nobody says how far back.
const USUAL_TIME: u64 = 3600 * 1_000_000_000;
/// Spans a second of a function that is switched on.
const LIMIT: u32 = 1000;

impl Advise {
    pub fn run(self) -> ExitCode {
        let project = match facts::Project::read(&self.project) {
            Ok(project) => project,
            Err(error) => return failure::weave(error),
        };
        terminal::report(|out| {
            let since = ago(self.since.unwrap_or(USUAL_TIME));
            let Gathered { facts, is_cut } =
                facts::gather(&self.store.path(), &project, self.service.as_deref(), since)?;
            let is_meant = |service: &str| self.service.as_deref().is_none_or(|meant| meant == service);
            let mut times = advise::times(&facts);
            times.retain(|time| is_meant(&time.service));
            let mut advice = advise::advise(&facts);
            advice.retain(|advice| is_meant(&advice.service));
            if is_cut {
                eprintln!("tandem: only the newest traces are looked at; --since 10m looks at less");
            }
            let page = Page { project: &project, layout: Layout::of_stdout() };
            match self.json {
                true => page.write_json(out, &times, &advice)?,
                false => page.write(out, &times, &advice)?,
            }
            if !self.apply {
                return Ok(ExitCode::SUCCESS);
            }
            out.flush()?;
            apply(&project, &advice)
        })
    }
}

/// The same for the page. Of no project: which one a program comes from, nobody has said there.
pub fn for_page(store: &Path) -> anyhow::Result<Vec<ui::Advice>> {
    let project = facts::Project::unknown()?;
    let Gathered { facts, .. } = facts::gather(store, &project, None, ago(USUAL_TIME))?;
    let act = |act: Act| ui::Act {
        words: match (&act, command(&act)) {
            (_, Some(command)) => command,
            (Act::Configure(edit), None) => format!("{}, then build again", edit.words()),
            (Act::Advise { text }, None) => text.clone(),
            (Act::Enable { function, .. } | Act::Disable { operation: function, .. }, None) => function.clone(),
        },
        enables: match act {
            Act::Enable { function, service } => Some(ui::Function { function, service }),
            _ => None,
        },
    };
    let advice = advise::advise(&facts).into_iter().map(|advice| ui::Advice {
        service: advice.service,
        title: advice.title,
        evidence: advice.evidence,
        traces: advice.traces,
        share: advice.share,
        acts: advice.acts.into_iter().map(act).collect(),
    });
    Ok(advice.collect())
}

/// The command that does it, fit for a shell whatever a program calls itself.
fn command(act: &Act) -> Option<String> {
    let quoted = |text: &str| format!("'{}'", clean(text).replace('\'', "'\\''"));
    let plain = |text: &str| match text.chars().all(|c| c.is_ascii_alphanumeric() || "._-:/".contains(c)) {
        true => text.to_owned(),
        false => quoted(text),
    };
    let (word, what, service) = match act {
        Act::Enable { function, service } => ("enable", function, service),
        Act::Disable { operation, service } => ("disable", operation, service),
        Act::Configure(_) | Act::Advise { .. } => return None,
    };
    Some(format!("tandem {word} {} --service {}", quoted(what), plain(service)))
}

/// How advice is written.
struct Page<'a> {
    project: &'a facts::Project,
    layout: Layout,
}

impl Page<'_> {
    fn patch(&self, edit: &Edit) -> String {
        match edit.apply(&self.project.text) {
            Ok(changed) => edit::diff(&self.project.text, &changed),
            Err(error) => format!("{}: {error}\n", self.project.file.display()),
        }
    }

    fn write_json(&self, out: &mut dyn Write, times: &[ServiceTime], advice: &[Advice]) -> io::Result<()> {
        for time in times {
            let mut object = json!(time);
            object["kind"] = json!("service");
            object["explained_by_spans"] = json!(time.explained_by_spans());
            object["explained_on_cpu"] = json!(time.explained_on_cpu());
            object["outside_of_spans"] = json!(time.outside());
            object["explained_with_profiles"] = json!(time.explained_with_profiles());
            writeln!(out, "{object}")?;
        }
        for advice in advice {
            let mut object = json!(advice);
            object["commands"] = advice.acts.iter().filter_map(command).collect();
            let edit = advice.acts.iter().find_map(|act| match act {
                Act::Configure(edit) => Some(edit),
                _ => None,
            });
            object["patch"] = json!(edit.map(|edit| self.patch(edit)));
            writeln!(out, "{object}")?;
        }
        Ok(())
    }

    fn write(&self, out: &mut dyn Write, times: &[ServiceTime], advice: &[Advice]) -> io::Result<()> {
        if times.is_empty() && advice.is_empty() {
            eprintln!("nothing was seen of programs in this time: use one meanwhile");
            eprintln!("  tandem agent --profile     (or tandem run --profile -- ./app)");
            eprintln!("  tandem advise --since 1d   looks further back");
            return Ok(());
        }
        for time in times {
            let explained = |share: f64| format!("{:.0} %", share * 100.0);
            let name = self.layout.paint(BOLD, clean(&time.service));
            write!(out, "{name}  {} in {} spans", format_duration(time.own_ns), time.spans)?;
            write!(out, "; spans explain {}", explained(time.explained_by_spans()))?;
            if time.on_cpu_ns > 0 {
                write!(out, " of it, {} of what is on the CPU", explained(time.explained_on_cpu()))?;
            }
            if time.sampled_ns > 0 {
                write!(out, "; with profiles {}", explained(time.explained_with_profiles()))?;
            }
            if time.outside_ns > 0 {
                write!(out, "; {} of its time on the CPU is outside of spans", explained(time.outside()))?;
            }
            writeln!(out)?;
        }
        for (index, advice) in advice.iter().enumerate() {
            self.write_advice(out, index + 1, advice)?;
        }
        if advice.is_empty() {
            writeln!(out, "no blind spots")?;
        }
        Ok(())
    }

    fn write_advice(&self, out: &mut dyn Write, number: usize, advice: &Advice) -> io::Result<()> {
        let title = format!("{}: {}", advice.service, advice.title);
        writeln!(out, "\n{number}. {}", self.layout.paint(BOLD, clean(&title)))?;
        let columns = self.layout.columns.saturating_sub(4);
        for line in advice.evidence.iter().flat_map(|line| wrap(&clean(line), columns)) {
            writeln!(out, "   {line}")?;
        }
        if !advice.traces.is_empty() {
            let ids: Vec<String> = advice.traces.iter().map(|id| id.to_string()[..8].to_owned()).collect();
            writeln!(out, "   {}", self.layout.paint(DIM, format!("traces {}", ids.join(" "))))?;
        }
        for act in &advice.acts {
            match act {
                Act::Configure(edit) => {
                    writeln!(out, "   {} {}, then build again", self.layout.paint(NOTICE, "→"), clean(&edit.words()))?;
                    for line in self.patch(edit).lines() {
                        writeln!(out, "       {}", clean(line))?;
                    }
                }
                Act::Advise { text } => {
                    for (index, line) in wrap(&clean(text), columns.saturating_sub(2)).iter().enumerate() {
                        let mark = if index == 0 { "→" } else { " " };
                        writeln!(out, "   {} {line}", self.layout.paint(NOTICE, mark))?;
                    }
                }
                now => {
                    let command = command(now).unwrap_or_default();
                    writeln!(out, "   {} now: {}", self.layout.paint(NOTICE, "→"), clean(&command))?;
                }
            }
        }
        Ok(())
    }
}

/// Changes the file, then switches functions on. What cannot be done is said, and the rest is done all the same.
fn apply(project: &facts::Project, advice: &[Advice]) -> anyhow::Result<ExitCode> {
    let acts: BTreeSet<&Act> = advice.iter().flat_map(|advice| &advice.acts).collect();
    let (mut done, mut failed) = (0, 0);
    let mut account = |outcome: anyhow::Result<String>| match outcome {
        Ok(said) => {
            done += 1;
            eprintln!("tandem: {said}");
        }
        Err(error) => {
            failed += 1;
            eprintln!("tandem: not applied: {error:#}");
        }
    };
    let edits: Vec<&Edit> =
        acts.iter().filter_map(|act| if let Act::Configure(edit) = act { Some(edit) } else { None }).collect();
    if !edits.is_empty() {
        configure(project, &edits, &mut account);
    }
    for act in acts {
        if let Act::Enable { function, service } = act {
            account(enable(function, service));
        }
    }
    if done + failed == 0 {
        eprintln!("tandem: nothing of this can be applied from here");
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn configure(project: &facts::Project, edits: &[&Edit], account: &mut dyn FnMut(anyhow::Result<String>)) {
    let path = &project.file;
    let mut text = match facts::read(path) {
        Ok(text) => text,
        Err(error) => return account(Err(error).with_context(|| format!("cannot read {}", path.display()))),
    };
    let mut said = Vec::new();
    for edit in edits {
        match edit.apply(&text) {
            Ok(changed) => {
                text = changed;
                said.push(edit.words());
            }
            Err(error) => account(Err(error).with_context(|| path.display().to_string())),
        }
    }
    if said.is_empty() {
        return;
    }
    let done = || format!("{}: {}; build again with tandem go build", path.display(), said.join(", "));
    account(replace(path, &text).map(|()| done()).with_context(|| format!("cannot write {}", path.display())));
}

/// Whole or not at all, with the rights that the file has, and where a link points to.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = real.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".tandem.yaml-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    let permissions = match fs::metadata(&real) {
        Ok(known) => known.permissions(),
        Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    fs::set_permissions(file.path(), permissions)?;
    file.as_file().sync_all()?;
    file.persist(&real).map_err(|error| error.error)?;
    Ok(())
}

/// Switches a function on in all programs of a service that run; says what was done.
pub fn enable(function: &str, service: &str) -> anyhow::Result<String> {
    let pattern = FunctionPattern::parse(function)?;
    let programs = Programs::of_service(service).with(Some(&pattern))?;
    let mut titles = Vec::new();
    for program in &programs {
        let exact = |one: &&record::Function| format!("{}.{}", one.import_path, one.name) == function;
        let Some(one) = program.chosen.iter().find(exact) else { continue };
        let mut switchboard = program.functions.switch().with_context(|| program.title())?;
        switchboard.on(one.number, Setting { limit: LIMIT, arguments: false }).with_context(|| program.title())?;
        titles.push(clean(&program.title()).into_owned());
    }
    if titles.is_empty() {
        bail!("no program of {} that runs has {}", clean(service), clean(function));
    }
    Ok(format!("{}: {} on, at most {LIMIT} spans a second", titles.join(", "), clean(function)))
}
