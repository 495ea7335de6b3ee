//! The command line: one file a command, no logic here.
//!
//! Exit codes: `tandem go` passes the go command's own on; 2 is a wrong use of tandem; 3 is a weave that could not be
//! done; 130 is Ctrl-C.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod doctor;
mod at_terminal;
mod explain;
mod failure;
mod go;
mod terminal;
mod trace;
mod traces;
mod version;

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
    /// Say what this machine allows, and what to do about the rest.
    Doctor(doctor::Doctor),
    /// List the traces in the store, newest first.
    Traces(traces::Traces),
    /// Show one trace: its spans as a tree, with times, errors and where the time went.
    Trace(trace::Trace),
    /// Say for every rule of every pack where it matched, or why it did not.
    Explain(explain::Explain),
    /// Print versions.
    Version(version::Version),
    /// Run a program with the terminal as standard error.
    #[command(hide = true, disable_help_flag = true)]
    AtTerminal(at_terminal::AtTerminal),
}

fn main() -> ExitCode {
    if let Some(code) = weave::tool::run_as_tool() {
        return code;
    }
    match Arguments::parse().command {
        Command::Go(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Traces(command) => command.run(),
        Command::Trace(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::AtTerminal(command) => command.run(),
        Command::Version(command) => command.run(),
    }
}
