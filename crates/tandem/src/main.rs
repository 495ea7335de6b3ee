//! The command line: one file a command, no logic here.
//!
//! Exit codes: `tandem go` passes the go command's own on; 2 is a wrong use of tandem; 3 is a weave that could not be
//! done, or a file that cannot be read; 4 is a lost hook (`tandem explain --strict`); 130 is Ctrl-C.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod advise;
mod agent;
mod attach;
mod budget;
mod cache;
mod compare;
mod diagnose;
mod diff;
mod disable;
mod doctor;
mod enable;
mod env;
mod environment;
mod explain;
mod export;
mod failure;
mod follow;
mod functions;
mod go;
mod inspect;
mod kernel;
mod list;
mod logs;
mod mcp;
mod metrics;
mod observe;
mod open;
mod operations;
mod otlp_file;
mod packs;
mod page;
mod pprof;
mod privileges;
mod profile;
mod program;
mod query;
#[cfg(test)]
mod reference;
mod run;
mod sampling;
mod sockets;
mod sql;
mod stored_metrics;
mod summary;
mod terminal;
mod top;
mod trace;
mod traces;
mod ui;
mod uprobes;
mod version;
mod warm;
mod warnings;

/// Makes Go programs observable without touching their source.
#[derive(Parser)]
#[command(name = "tandem", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What `--help` shows below the commands.
const EXAMPLES: &str = "\
Examples:
  tandem go build -o shop ./cmd/shop  # weave and build
  tandem run -- ./shop                # see it run
  tandem trace last                   # the newest trace

Exit codes: 0; 1 when something failed or there is no such thing; 2 for a wrong use; 3 when a weave could not be done or a file
cannot be read. `tandem COMMAND --help` says more of each. Documentation: docs/first-steps.md.";

#[derive(Subcommand)]
enum Command {
    #[command(disable_help_flag = true)]
    Go(go::Go),
    Run(run::Run),
    Agent(agent::Agent),
    Attach(attach::Attach),
    Doctor(doctor::Doctor),
    Traces(traces::Traces),
    Trace(trace::Trace),
    Top(top::Top),
    Diagnose(diagnose::Diagnose),
    Compare(compare::Compare),
    Logs(logs::Logs),
    Metrics(metrics::Metrics),
    Budget(budget::Budget),
    Profile(profile::Profile),
    Sampling(sampling::Sampling),
    Sql(sql::Sql),
    Export(export::Export),
    Open(open::Open),
    Ui(ui::Ui),
    Mcp(mcp::Mcp),
    Enable(enable::Enable),
    Disable(disable::Disable),
    List(list::List),
    Advise(advise::Advise),
    Env(env::Env),
    Explain(explain::Explain),
    Warm(warm::Warm),
    Diff(diff::Diff),
    Inspect(inspect::Inspect),
    Cache(cache::CacheCommand),
    Packs(packs::Packs),
    Version(version::Version),
    /// Start a program for `go run`.
    #[command(hide = true, disable_help_flag = true)]
    Program(program::Program),
}

fn main() -> ExitCode {
    if let Some(code) = weave::tool::run_as_tool() {
        return code;
    }
    let arguments = query::with_denials(std::env::args_os(), &Arguments::command());
    match Arguments::parse_from(arguments).command {
        Command::Go(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Agent(command) => command.run(),
        Command::Advise(command) => command.run(),
        Command::Attach(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Budget(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Traces(command) => command.run(),
        Command::Trace(command) => command.run(),
        Command::Sql(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Open(command) => command.run(),
        Command::Diagnose(command) => command.run(),
        Command::Logs(command) => command.run(),
        Command::Mcp(command) => command.run(),
        Command::Metrics(command) => command.run(),
        Command::Profile(command) => command.run(),
        Command::Sampling(command) => command.run(),
        Command::Top(command) => command.run(),
        Command::Ui(command) => command.run(),
        Command::Enable(command) => command.run(),
        Command::Disable(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Env(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Cache(command) => command.run(),
        Command::Packs(command) => command.run(),
        Command::Program(command) => command.run(),
        Command::Version(command) => command.run(),
        Command::Warm(command) => command.run(),
    }
}
