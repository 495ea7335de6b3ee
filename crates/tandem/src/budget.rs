//! `tandem budget`: what observing costs, what an agent does to keep within its budget, and how objectives stand.
//!
//! Asked at the agents' own sockets, so it needs no port. Exit codes: 1 when no agent answers.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::Style;
use anyhow::{Context, bail};
use clap::Args;
use model::format_duration;
use serde_json::Value;

use crate::agent::{DEFAULT_SOCKET, SOCKET};
use crate::environment;
use crate::terminal::{self, BOLD, DIM, ERROR, Layout, NOTICE, clean};
use crate::traces::ago;

/// As it is.
const PLAIN: Style = Style::new();

/// Routes that are shown.
const ROUTES: usize = 10;

/// Show what observing costs, and how budgets and objectives stand.
///
/// By cause: the agent, the kernel half, hooks in programs; beside them the budgets of `agent.yaml`, what is shed to keep within them,
/// the last steps, and whether objectives are met.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Budget {
    /// The agent's socket [default: $TANDEM_SOCKET, else those of `tandem agent` and of your `tandem run`].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// One JSON object for each agent, a line each.
    #[arg(long)]
    json: bool,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem budget         # costs by cause, budgets, what is shed, objectives
  tandem budget --json  # for scripts

Exit codes: 0; 1 when no agent answers. docs/budget.md says what budgets do.";

impl Budget {
    pub fn run(self) -> ExitCode {
        terminal::report(|out| {
            let (mut answers, mut failure) = (Vec::new(), None);
            let chosen = self.socket.or_else(|| environment::path(SOCKET));
            let is_chosen = chosen.is_some();
            for socket in chosen.map_or_else(sockets, |socket| vec![socket]) {
                let asked = agent::ask(&socket);
                // Those that were killed leave their sockets.
                if !is_chosen && asked.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
                    continue;
                }
                match asked.with_context(|| format!("cannot ask the agent at {}", socket.display())) {
                    Ok(answer) => answers.push((socket, serde_json::from_str(&answer)?)),
                    Err(error) => failure = Some(error),
                }
            }
            if answers.is_empty() {
                return Err(
                    failure.unwrap_or_else(|| anyhow::anyhow!("no agent runs here (`tandem agent`, `tandem run`)"))
                );
            }
            if answers.iter().all(|(_, answer): &(_, Value)| answer.is_null()) {
                bail!("the agent has neither a budget nor objectives: write them into its agent.yaml (docs/budget.md)");
            }
            for (socket, answer) in answers.iter().filter(|(_, answer)| !answer.is_null()) {
                if self.json {
                    writeln!(out, "{answer}")?;
                } else {
                    write_report(out, socket, answer)?;
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Where agents may be listening: that of the machine, and those that `tandem run` has started.
fn sockets() -> Vec<PathBuf> {
    let folders = [std::env::temp_dir(), PathBuf::from("/tmp")];
    let of_runs = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let of_runs = of_runs.filter(|entry| entry.file_name().to_string_lossy().starts_with("tandem-"));
    let mut all: Vec<PathBuf> = of_runs.map(|entry| entry.path().join("agent.sock")).collect();
    all.push(PathBuf::from(DEFAULT_SOCKET));
    all.sort();
    all.dedup();
    all.retain(|socket| socket.exists());
    all
}

fn write_report(out: &mut dyn Write, socket: &Path, answer: &Value) -> anyhow::Result<()> {
    let layout = Layout::of_stdout();
    let heading = |text: &str| layout.paint(BOLD, text.to_owned());
    let number = |value: &Value, key: &str| value[key].as_f64();
    let text = |value: &Value, key: &str| clean(value[key].as_str().unwrap_or_default()).into_owned();
    let list = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    writeln!(out, "{}", layout.paint(DIM, format!("agent at {}", socket.display())))?;

    writeln!(out, "{}", heading("What it costs"))?;
    let unmeasured = "not measured";
    let percent = |value: Option<f64>| value.map_or(unmeasured.to_owned(), |value| format!("{value:.2} %"));
    writeln!(
        out,
        "  agent     {} of a CPU, {:.0} MiB",
        percent(number(answer, "agent_cpu_percent")),
        number(answer, "agent_memory_mib").unwrap_or_default()
    )?;
    let profiler = percent(number(answer, "profiler_cpu_percent"));
    let kernel = number(answer, "kernel_cpu_percent");
    let kernel = kernel.map(|share| format!("{share:.2} % of a CPU, of which the profiler {profiler}"));
    writeln!(out, "  kernel    {}", kernel.as_deref().unwrap_or(unmeasured))?;
    let programs = list("programs");
    for program in &programs {
        let [uses, hooks, kernel] =
            ["cpu_percent", "hooks_percent", "kernel_percent"].map(|key| percent(number(program, key)));
        writeln!(out, "  {}  uses {uses} of a CPU; hooks {hooks}, kernel half {kernel}", text(program, "service"))?;
    }
    let added = number(answer, "programs_added_percent");
    let added = added.map_or("programs are idle".to_owned(), |added| format!("{added:.2} % of their CPU time"));
    let [operations, records] =
        ["operations_per_second", "records_per_second"].map(|key| number(answer, key).unwrap_or_default());
    writeln!(out, "  added to programs: {added} ({operations:.0} operations a second, {records:.0} recorded)")?;

    writeln!(out, "{}", heading("Budgets"))?;
    for budget in list("budgets") {
        let [measured, limit] = ["measured", "limit"].map(|key| number(&budget, key).unwrap_or_default());
        let line = format!("  {}  {measured:.2} of {limit}", text(&budget, "cost"));
        writeln!(out, "{}", layout.paint(if measured > limit { NOTICE } else { PLAIN }, line))?;
    }
    if answer["exhausted"] == true {
        writeln!(out, "  {}", layout.paint(ERROR, "exceeded, and there is nothing more to shed"))?;
    }

    writeln!(out, "{}", heading("Detail"))?;
    for level in list("levels") {
        let shed = number(&level, "level").unwrap_or_default() > 0.0;
        let line = format!("  {}  {}", text(&level, "kind").replace('_', " "), text(&level, "now"));
        writeln!(out, "{}", layout.paint(if shed { NOTICE } else { PLAIN }, line))?;
    }

    let routes = list("routes");
    if !routes.is_empty() {
        writeln!(out, "{}", heading("New traces by route"))?;
    }
    for route in routes.iter().take(ROUTES) {
        let [kept, rate] = ["kept_percent", "traces_per_second"].map(|key| number(route, key).unwrap_or_default());
        let missed = if route["missed"] == true { ", its objective is missed" } else { "" };
        let asked = if route["route"].is_null() { "all others".to_owned() } else { text(route, "route") };
        let line = format!("  {} {asked}  {kept:.1} % of {rate:.1} a second{missed}", text(route, "service"));
        writeln!(out, "{}", layout.paint(if kept < 100.0 { NOTICE } else { PLAIN }, line))?;
    }
    if let Some(more) = routes.len().checked_sub(ROUTES).filter(|more| *more > 0) {
        writeln!(out, "  {}", layout.paint(DIM, format!("and {more} more (--json)")))?;
    }

    let objectives = list("objectives");
    if !objectives.is_empty() {
        writeln!(out, "{}", heading("Objectives"))?;
    }
    for objective in &objectives {
        let is = if objective["missed"] == true { layout.paint(ERROR, "missed") } else { layout.paint(BOLD, "met") };
        let window =
            format_duration(objective["window_seconds"].as_u64().unwrap_or_default().saturating_mul(1_000_000_000));
        let requests = objective["requests"].as_u64().unwrap_or_default();
        writeln!(out, "  {}  {is}: {requests} requests in {window}", text(objective, "name"))?;
        for line in objective_lines(objective) {
            writeln!(out, "    {line}")?;
        }
    }

    let events = list("events");
    if !events.is_empty() {
        writeln!(out, "{}", heading("Last steps"))?;
    }
    for event in events.iter().rev().take(10) {
        let when = format!("{} ago", format_duration(ago(event["unix_nano"].as_u64().unwrap_or_default())));
        writeln!(out, "  {}  {}", layout.paint(DIM, when), text(event, "text"))?;
    }
    Ok(())
}

/// What is asked for, what is, and what is left.
fn objective_lines(objective: &Value) -> Vec<String> {
    let number = |key: &str| objective[key].as_f64();
    let left =
        |key: &str| number(key).map_or(String::new(), |left| format!(", {:.0} % of what may be is left", 100.0 * left));
    let duration = |key: &str| objective[key].as_u64().map_or("none".to_owned(), format_duration);
    let percent =
        |key: &str, factor: f64| number(key).map_or("none".to_owned(), |share| format!("{:.2} %", factor * share));
    let mut lines = Vec::new();
    if number("p99_limit_ns").is_some() {
        lines.push(format!("p99 about {} of {}{}", duration("p99_ns"), duration("p99_limit_ns"), left("p99_left")));
    }
    if number("error_rate_limit").is_some() {
        lines.push(format!(
            "errors {} of {}{}",
            percent("error_rate", 100.0),
            percent("error_rate_limit", 100.0),
            left("errors_left")
        ));
    }
    if number("slow_kept_limit").is_some() {
        lines.push(format!("slow ones kept {} of {}", percent("slow_kept", 100.0), percent("slow_kept_limit", 100.0)));
    }
    if number("overhead_limit_percent").is_some() {
        lines.push(format!(
            "overhead {} of {}",
            percent("overhead_percent", 1.0),
            percent("overhead_limit_percent", 1.0)
        ));
    }
    lines
}
