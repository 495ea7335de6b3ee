//! `tandem agent`: the agent of a whole machine, until SIGINT or SIGTERM.
//!
//! Exit codes: 0 after a signal, 1 when it could not be started.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::observe::Destinations;

/// Where programs look for the agent (`defaultSocket` in go/rt/env.go).
pub const DEFAULT_SOCKET: &str = "/run/tandem/agent.sock";

/// Serve all woven programs of this machine: those that start, and those that run already.
#[derive(Args)]
pub struct Agent {
    /// Where programs find the agent; they look there unless TANDEM_SOCKET says otherwise.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    #[command(flatten)]
    destinations: Destinations,
}

impl Agent {
    pub fn run(self) -> ExitCode {
        match self.serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("tandem: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    fn serve(self) -> anyhow::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let socket = self.socket.display().to_string();
        let observer = self.destinations.start(self.socket, true)?;
        eprintln!("tandem: listening at {socket}");
        signals.forever().next();
        observer.finish();
        Ok(())
    }
}
