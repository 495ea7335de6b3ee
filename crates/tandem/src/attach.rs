//! `tandem attach PID`: spans of programs that run and were not woven.
//!
//! Exit codes: 0 after Ctrl-C, or when the last of the programs has ended; 1 when nothing can be observed, or the agent
//! could not be started.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::{Selection, Statistics};
use anyhow::Context;
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::observe::{self, Destinations, Observer, Propagation, Scope};
use crate::run::private_folder;

/// How often it is looked whether it is still wanted.
const LOOK: Duration = Duration::from_millis(200);
/// So often processes are looked for before there are said to be none.
const PATIENCE: u64 = 2;

/// Observe programs that run and were not built with tandem, until Ctrl-C or until they end.
///
/// Of Go programs (1.18 to 1.27, stripped or not) it makes spans of requests that net/http and grpc serve and send, of what
/// database/sql is asked, and of messages that are sent to Kafka, without a restart and without changing the program: the
/// kernel stops its threads for about a microsecond at the beginning and end of such an operation. What a woven program
/// records itself is left to it.
///
/// Of programs in any language it makes spans of what they say in plain text on their sockets: HTTP, gRPC, PostgreSQL, MySQL,
/// Redis, MongoDB, Kafka, DNS (docs/sockets.md).
///
/// It needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, and Linux 6.6 or newer; `tandem doctor` says what is missing,
/// `tandem doctor --observe PROGRAM` what would be observed of a program and what not. When it ends, nothing is left in the
/// program or in the kernel.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Attach {
    #[command(flatten)]
    propagation: Propagation,
    #[command(flatten)]
    destinations: Destinations,
    /// Programs: process ids, names, paths, :PORT, or container:ID.
    #[arg(required = true, value_name = "PROGRAM")]
    programs: Vec<Selection>,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem attach 1234            # the process with this id
  tandem attach shop            # all whose executable is called shop
  tandem attach /usr/bin/shop   # all that run this executable
  tandem attach :8080           # what listens at this port
  tandem attach container:3f2a  # what runs in the container whose id holds this

Exit codes: 0 after Ctrl-C, or when the last of the programs has ended; 1 when nothing can be observed.";

impl Attach {
    pub fn run(self) -> ExitCode {
        match self.attach() {
            Ok(code) => code,
            Err(error) => {
                observe::complain(&error);
                ExitCode::FAILURE
            }
        }
    }

    fn attach(self) -> anyhow::Result<ExitCode> {
        let mut destinations = self.destinations.observing(self.programs.clone(), &self.propagation);
        destinations.confine(Scope::Observed)?;
        let enough = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&enough)).context("cannot listen to signals")?;
        }
        let folder = private_folder().context("cannot make a folder for the agent's socket")?;
        let socket = folder.path().join("agent.sock");
        let observer = destinations.start(socket, Scope::Observed)?;
        let code = attend(&observer, &self.programs, &enough);
        observer.finish();
        Ok(code)
    }
}

/// Waits for the end.
fn attend(observer: &Observer, programs: &[Selection], enough: &AtomicBool) -> ExitCode {
    let mut said = false;
    loop {
        let statistics = observer.agent().statistics();
        let all_said = statistics.answered >= statistics.asked;
        let answered = statistics.looked >= PATIENCE && all_said;
        match (statistics.observed.len(), statistics.observed_ever) {
            (0, 0) if answered => {
                eprintln!("tandem: {}", nobody(programs, &statistics));
                return ExitCode::FAILURE;
            }
            (0, 1..) => return ExitCode::SUCCESS, // they have ended
            (count, _) if !said && all_said && statistics.looked > 0 && count > 0 => {
                let programs = if count == 1 { "1 program".to_owned() } else { format!("{count} programs") };
                eprintln!("tandem: observing {programs}; Ctrl-C ends it, and the program goes on");
                said = true;
            }
            _ => {}
        }
        if enough.load(Ordering::Relaxed) {
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(LOOK);
    }
}

/// Why nobody is observed.
pub fn nobody(programs: &[Selection], statistics: &Statistics) -> String {
    if !statistics.not_observed.is_empty() {
        return "nothing is observed; the lines above say why".to_owned();
    }
    let missing = |selection: &Selection| match selection {
        Selection::Process(pid) => {
            format!("process {pid} (it has ended, or is another user's: see it with ps -p {pid})")
        }
        Selection::Name(name) => format!("program called {name}"),
        Selection::Path(path) => format!("program that runs {}", path.display()),
        Selection::Port(port) => format!("program that listens at port {port}"),
        Selection::Container(text) => format!("program in a container whose id holds {text}"),
    };
    let missing: Vec<String> = programs.iter().map(missing).collect();
    format!("there is no {}; tandem attach --help says how programs are named", missing.join(", no "))
}
