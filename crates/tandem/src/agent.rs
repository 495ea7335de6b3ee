//! `tandem agent`: the agent of a whole machine, until SIGINT or SIGTERM.
//!
//! Exit codes: 0 after a signal, 1 when it could not be started.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::observe::{self, Destinations, Scope};

/// Where programs look for the agent (`defaultSocket` in go/rt/env.go).
pub const DEFAULT_SOCKET: &str = "/run/tandem/agent.sock";

/// Serve all woven programs of this machine: those that start, and those that run already.
#[derive(Args)]
pub struct Agent {
    /// Where programs find the agent [default: $TANDEM_SOCKET, else /run/tandem/agent.sock, where programs look, too].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    destinations: Destinations,
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
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let from_environment = || std::env::var_os("TANDEM_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from);
        let socket = self.socket.or_else(from_environment).unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET));
        let observer = self.destinations.start(socket.clone(), Scope::Machine)?;
        eprintln!("tandem: listening at {}", socket.display());
        signals.forever().next();
        observer.finish();
        Ok(())
    }
}
