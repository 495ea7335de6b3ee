//! `tandem run -- PROGRAM ARGS`: a program and its agent in one command.
//!
//! The program keeps standard input, output and error, and gets the signals that we get. Exit codes: the program's own,
//! 128 + n when signal n ended it, 127 when it was not found, 126 when it could not be started; 1 when the agent could
//! not be started (then the program was not started either).

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use agent::Selection;
use anyhow::Context;
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Origin;
use tempfile::TempDir;

use crate::agent::SOCKET;
use crate::attach::nobody;
use crate::observe::{self, Destinations, Observer, Propagation, Scope};
use crate::privileges::Launcher;

/// How often a wait looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(200);

/// Run a program under an agent of its own, and keep its traces.
///
/// The program, and woven ones that it starts, find the agent by themselves. It keeps standard input, output and error, and gets the
/// signals that tandem gets. Without root everything works but the kernel half.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// Observe these of the programs that are started, too, without their being woven: a name, a path, or :PORT (docs/unwoven.md).
    /// May be given more than once.
    #[arg(long, value_name = "PROGRAM")]
    observe: Vec<Selection>,
    #[command(flatten)]
    propagation: Propagation,
    #[command(flatten)]
    destinations: Destinations,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem run -- ./shop                              # program, agent and page; prints the page's address
  tandem run --no-ui --json=spans.jsonl -- ./shop   # spans into a file, one JSON object a line
  tandem run --metrics 127.0.0.1:9464 -- ./shop     # serves Prometheus metrics meanwhile
  sudo tandem run --observe python3 -- ./shop       # and observes what it starts in Python, which nobody wove
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 tandem run -- ./shop   # sends all of it there, too

Exit codes: the program's own; 128 + n when signal n ended it; 127 when it was not found, 126 when it could not be started;
1 when the agent could not be started, and so the program neither.";

impl Run {
    pub fn run(self) -> ExitCode {
        let mut destinations = self.destinations.observing(self.observe.clone(), &self.propagation);
        let prepared = Launcher::new().context("cannot start a thread").and_then(|launcher| {
            destinations.confine(Scope::Program)?;
            let folder = private_folder().context("cannot make a folder for the agent's socket")?;
            Ok((launcher, folder))
        });
        let (launcher, folder) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                observe::complain(&error);
                return ExitCode::FAILURE;
            }
        };
        let socket = folder.path().join("agent.sock");
        let observer = match destinations.start(socket.clone(), Scope::Program) {
            Ok(observer) => observer,
            Err(error) => {
                observe::complain(&error);
                return ExitCode::FAILURE;
            }
        };
        let code = match attend(&observer, launcher, &self.program, &socket) {
            Ok(status) => {
                let statistics = observer.agent().statistics();
                observer.finish();
                if !self.observe.is_empty() && statistics.observed_ever == 0 {
                    let why = nobody(&self.observe, &statistics);
                    eprintln!("tandem: of what was started nothing was observed: {why}");
                }
                ExitCode::from(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)) as u8)
            }
            Err(error) => {
                eprintln!("tandem: cannot run {}: {error}", self.program[0].display());
                ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 })
            }
        };
        drop(folder);
        code
    }
}

/// A folder that only we can list. A program that root starts may become somebody else, and must still reach the socket.
pub fn private_folder() -> io::Result<TempDir> {
    let make = |parent: &Path| tempfile::Builder::new().prefix("tandem-").tempdir_in(parent);
    let parent = std::env::temp_dir();
    // A socket's path has at most 107 bytes.
    let usual = || make(Path::new("/tmp"));
    let folder = if parent.as_os_str().len() > 60 { usual()? } else { make(&parent).or_else(|_| usual())? };
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
    Ok(folder)
}

/// Runs the program to its end, and waits for the programs that it has started.
fn attend(observer: &Observer, launcher: Launcher, program: &[OsString], socket: &Path) -> io::Result<ExitStatus> {
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2])?;
    let handle = signals.handle();
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).env(SOCKET, socket);
    let mut child = launcher.start(command)?;
    let running = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let enough = Arc::new(AtomicBool::new(false));
    let forwarder = thread::spawn({
        let enough = Arc::clone(&enough);
        move || {
            for signal in &mut signals {
                forward(&signal, &running, &enough);
            }
        }
    });
    let status = child.wait()?;
    let agent = observer.agent();
    if !agent.wait_for_programs(LOOK) {
        let programs = agent.statistics().active;
        eprintln!("tandem: the program has ended; waiting for {programs} more that it has started (Ctrl-C ends this)");
        while !enough.load(Ordering::Relaxed) && !agent.wait_for_programs(LOOK) {}
    }
    handle.close();
    let _ = forwarder.join();
    Ok(status)
}

/// Passes a signal on. What the terminal sends has reached the program already: it is in our process group.
fn forward(signal: &Origin, program: &OwnedFd, enough: &AtomicBool) {
    let passed_on = match (&signal.process, Signal::from_named_raw(signal.signal)) {
        (Some(_), Some(number)) => rustix::process::pidfd_send_signal(program, number).is_ok(),
        _ => lives(program),
    };
    if !passed_on {
        enough.store(true, Ordering::Relaxed); // the program is gone, and somebody wants an end
    }
}

/// Whether the program has not ended yet: its descriptor becomes readable when it does.
fn lives(program: &OwnedFd) -> bool {
    let mut descriptors = [PollFd::new(program, PollFlags::IN)];
    rustix::event::poll(&mut descriptors, Some(&Timespec::default())) == Ok(0)
}
