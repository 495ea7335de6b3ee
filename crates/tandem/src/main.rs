//! The command line: one file a command, no logic here.
//!
//! Exit codes: `tandem go` passes the go command's own on; 2 is a wrong use of tandem; 3 is a weave that could not be
//! done, or a file that cannot be read; 4 is a lost hook (`tandem explain --strict`); 130 is Ctrl-C.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod advise;
mod agent;
mod attach;
mod budget;
mod cache;
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
mod functions;
mod go;
mod inspect;
mod kernel;
mod list;
mod logs;
mod metrics;
mod observe;
mod open;
mod operations;
mod otlp_file;
mod packs;
mod pprof;
mod privileges;
mod profile;
mod program;
mod query;
mod run;
mod sampling;
mod sockets;
mod sql;
mod summary;
mod terminal;
mod trace;
mod traces;
mod ui;
mod uprobes;
mod version;
mod warm;

/// Makes Go programs observable without touching their source.
#[derive(Parser)]
#[command(name = "tandem")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the go command; build, install, run, test and vet weave spans in.
    #[command(disable_help_flag = true)]
    Go(go::Go),
    /// Run a program under an agent of its own, and keep its traces.
    Run(run::Run),
    /// Serve all woven programs of this machine.
    Agent(agent::Agent),
    Attach(attach::Attach),
    /// Say what this machine allows, and what to do about the rest.
    Doctor(doctor::Doctor),
    Traces(traces::Traces),
    /// Show one trace: its spans as a tree, with times, errors and where the time went.
    Trace(trace::Trace),
    Sql(sql::Sql),
    Export(export::Export),
    Open(open::Open),
    Diagnose(diagnose::Diagnose),
    Logs(logs::Logs),
    Metrics(metrics::Metrics),
    Budget(budget::Budget),
    Profile(profile::Profile),
    Sampling(sampling::Sampling),
    /// Show the traces in the store on a page, until Ctrl-C.
    Ui(ui::Ui),
    /// Make spans of calls of functions that were woven dormant, in programs that run.
    Enable(enable::Enable),
    /// Make no more spans of calls of functions.
    Disable(disable::Disable),
    /// List the functions that can be switched on in programs that run, and those that are.
    List(list::List),
    Advise(advise::Advise),
    Env(env::Env),
    Explain(explain::Explain),
    /// Compile ahead what the woven builds of this project will need.
    Warm(warm::Warm),
    Diff(diff::Diff),
    Inspect(inspect::Inspect),
    Cache(cache::CacheCommand),
    /// List, show, write, check and verify packs.
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
    match Arguments::parse().command {
        Command::Go(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Agent(command) => command.run(),
        Command::Advise(command) => command.run(),
        Command::Attach(command) => command.run(),
        Command::Budget(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Traces(command) => command.run(),
        Command::Trace(command) => command.run(),
        Command::Sql(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Open(command) => command.run(),
        Command::Diagnose(command) => command.run(),
        Command::Logs(command) => command.run(),
        Command::Metrics(command) => command.run(),
        Command::Profile(command) => command.run(),
        Command::Sampling(command) => command.run(),
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
