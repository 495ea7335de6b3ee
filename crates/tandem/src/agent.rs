//! `tandem agent`: the agent of a whole machine, until SIGINT or SIGTERM.
//!
//! Exit codes: 0 after a signal, 1 when it could not be started.

use std::path::PathBuf;
use std::process::ExitCode;

use agent::Selection;
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::environment;
use crate::observe::{self, Destinations, Propagation, Scope};

/// Names the socket by which programs and agents find each other.
pub const SOCKET: &str = "TANDEM_SOCKET";
/// Where programs look for the agent otherwise (`defaultSocket` in go/rt/env.go).
pub const DEFAULT_SOCKET: &str = "/run/tandem/agent.sock";

/// Serve all woven programs of this machine: those that start, and those that run already.
///
/// Runs until SIGINT or SIGTERM. docs/deployment.md has it as a service of systemd and in Kubernetes; docs/agent.md says what a file
/// can configure, docs/configuration.md which variables say where telemetry goes.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Agent {
    /// Where programs find the agent [default: $TANDEM_SOCKET, else /run/tandem/agent.sock, where programs look, too].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Let the members of this group (a name or a number) read the traces; else only who runs the agent, and root, can.
    #[arg(long, value_name = "GROUP", value_parser = group)]
    group: Option<u32>,
    /// Observe these programs, too, without their being woven: a process id, a name, a path, :PORT, or container:ID
    /// (docs/unwoven.md). May be given more than once.
    #[arg(long, value_name = "PROGRAM")]
    observe: Vec<Selection>,
    #[command(flatten)]
    propagation: Propagation,
    #[command(flatten)]
    destinations: Destinations,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  sudo tandem agent                                    # all woven programs of this machine
  sudo tandem agent --metrics 127.0.0.1:9464           # and serves Prometheus metrics
  sudo tandem agent --observe python3                  # and observes these, which nobody wove
  tandem agent --socket ~/agent.sock --ui 127.0.0.1:0  # without root: set TANDEM_SOCKET to the same path for the programs

Exit codes: 0 after SIGINT or SIGTERM; 1 when it could not be started.";

/// A group's number, by its name in /etc/group or as it is.
fn group(text: &str) -> Result<u32, String> {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let named = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(text)).then(|| fields.nth(1)?.parse().ok())?
    });
    named.or_else(|| text.parse().ok()).ok_or_else(|| "there is no such group in /etc/group".to_owned())
}

impl Agent {
    pub fn run(self) -> ExitCode {
        match self.serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                observe::complain(&error);
                ExitCode::FAILURE
            }
        }
    }

    fn serve(self) -> anyhow::Result<()> {
        if let Some(group) = self.group {
            self.destinations.share(group)?; // which takes rights that are given away next
        }
        let mut destinations = self.destinations.observing(self.observe, &self.propagation);
        destinations.confine(Scope::Machine)?;
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let from_environment = || environment::path(SOCKET);
        let socket = self.socket.or_else(from_environment).unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET));
        let observer = destinations.start(socket.clone(), Scope::Machine)?;
        eprintln!("tandem: listening at {}", socket.display());
        signals.forever().next();
        observer.finish();
        Ok(())
    }
}
