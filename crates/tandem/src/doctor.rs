//! `tandem doctor`: what this machine, Go version and privilege level allow, and what to do about the rest.
//!
//! Exit codes: 0 when programs can be woven (not asked with `--agent`) and record spans here, 1 when something for that is missing. The kernel half
//! and the outlook never change the code: without them spans lack parts of their anatomy, nothing more. With `--observe`: 0
//! when something of the program can be observed, 1 when nothing can.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use probe::features::{self, Feature, Purpose, State};
use serde_json::json;
use weave::cache::Cache;
use weave::go::{GoEnv, find_go};

use crate::agent::{DEFAULT_SOCKET, SOCKET};
use crate::environment;
use crate::privileges::{self, Capability};
use crate::uprobes;

/// Say what this machine allows, and what to do about the rest.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Say what could be observed of a program that was not woven (a process id, or an executable), and what not and why.
    #[arg(long, value_name = "PROGRAM")]
    observe: Option<PathBuf>,
    /// Only what an agent asks of a machine: nothing of Go, and no agent that runs already.
    #[arg(long, conflicts_with = "observe")]
    agent: bool,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem doctor                  # what works here, what does not, and what to do about it
  tandem doctor --observe shop   # what could be observed of a program (a file or a process id) that was not woven
  tandem doctor --agent --json   # what an agent asks of a machine, one object a line

Exit codes: 0 when programs can be woven and record spans here, 1 when something for that is missing. What the kernel half
lacks changes nothing about it. With --observe: 0 when something of the program can be observed, 1 when nothing can.";

/// Newest Go that the packs and the runtime patch were made with. Newer ones are woven as far as they match.
pub const NEWEST_GO: (u64, u64) = (1, 27);
pub const OLDEST_GO: (u64, u64) = (1, 21);
const WIDTH: usize = 80;
const NAME_WIDTH: usize = 24;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Weaving,
    Spans,
    Anatomy,
    Parts,
    Profiles,
    Unwoven,
    Sockets,
    Agent,
    Privileges,
    Outlook,
}

impl Group {
    const ALL: [Self; 10] = [
        Self::Weaving,
        Self::Spans,
        Self::Anatomy,
        Self::Parts,
        Self::Profiles,
        Self::Unwoven,
        Self::Sockets,
        Self::Agent,
        Self::Privileges,
        Self::Outlook,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Weaving => "To weave programs (tandem go build)",
            Self::Spans => "For woven programs to record spans",
            Self::Anatomy => "For the kernel's half of the latency anatomy",
            Self::Parts => "For single parts of it; without them they count as others",
            Self::Profiles => "For profiles (tandem run --profile), besides the anatomy's",
            Self::Unwoven => "For spans of programs that were not woven (tandem attach)",
            Self::Sockets => "For spans of any language's programs, from their sockets",
            Self::Agent => "The agent of this machine",
            Self::Privileges => "What an agent that you start keeps of root's privileges, and what for",
            Self::Outlook => "What else this kernel offers to probes",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Weaving => "weaving",
            Self::Spans => "spans",
            Self::Anatomy => "anatomy",
            Self::Parts => "parts",
            Self::Profiles => "profiles",
            Self::Unwoven => "unwoven",
            Self::Sockets => "sockets",
            Self::Agent => "agent",
            Self::Privileges => "privileges",
            Self::Outlook => "outlook",
        }
    }

    /// Whether the woven half works without it.
    fn required(self) -> bool {
        matches!(self, Self::Weaving | Self::Spans)
    }
}

struct Check {
    group: Group,
    name: &'static str,
    state: State,
}

impl Check {
    fn available(&self) -> bool {
        matches!(self.state, State::Available(_))
    }
}

impl Doctor {
    pub fn run(self) -> ExitCode {
        if let Some(program) = &self.observe {
            return self.look_into(program);
        }
        let mut checks = check_all(!self.agent);
        checks.retain(|check| !self.agent || check.group != Group::Agent);
        let printed = if self.json { print_json(&checks) } else { print_table(&checks, verdict(&checks)) };
        // A reader that went away (`| head`) is no failure of the machine.
        let _ = printed;
        ExitCode::from(u8::from(checks.iter().any(|check| check.group.required() && !check.available())))
    }
}

impl Doctor {
    /// Says what probes can observe of one program.
    fn look_into(&self, program: &Path) -> ExitCode {
        let checks = match library_checks(program) {
            Ok(checks) => checks,
            Err(error) => {
                eprintln!("tandem: {error}");
                return ExitCode::FAILURE;
            }
        };
        let observed = checks.iter().any(Check::available);
        let verdict = match observed {
            true => "The lines marked ok are what `tandem attach` makes spans of.",
            false => "Probes can make no spans of this program; woven, it would make its own.",
        };
        let _ = if self.json { print_json(&checks) } else { print_table(&checks, verdict) };
        ExitCode::from(u8::from(!observed))
    }
}

/// The libraries in a program, given by its process id or as a file.
fn library_checks(program: &Path) -> anyhow::Result<Vec<Check>> {
    const REMEDY: &str = "build it with `tandem go build`: woven programs need no probes";
    let is_id = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let executable = match program.to_str().filter(|text| is_id(text)) {
        Some(pid) => PathBuf::from(format!("/proc/{pid}/exe")),
        None => program.to_owned(),
    };
    let manifest = gobin::Executable::read(&executable)?.build.manifest()?;
    let owns = |join_point: &str| {
        manifest.as_ref().is_some_and(|manifest| manifest.join_points().any(|own| own.id == join_point))
    };
    let plan = uprobes::plan(&executable, owns)?;
    let check = |name, state| Check { group: Group::Unwoven, name, state };
    let missing = |why: String| State::Missing { why, remedy: REMEDY };
    let mut checks: Vec<Check> = Vec::new();
    for library in &probe::uprobe::LIBRARIES {
        let found = if plan.observed.contains(&library.name) {
            State::Available("can be observed".to_owned())
        } else if plan.owned.contains(&library.name) {
            State::Missing {
                why: "woven: the program records it itself".to_owned(),
                remedy: "nothing: nobody observes it twice",
            }
        } else if plan.left_out.iter().any(|refusal| refusal.library == library.name) {
            continue;
        } else {
            State::Missing { why: "not in the program".to_owned(), remedy: "nothing: there is nothing to observe" }
        };
        checks.push(check(library.name, found));
    }
    checks
        .extend(plan.left_out.iter().map(|left| check(left.library, missing(format!("{}: {}", left.what, left.why)))));
    Ok(checks)
}

fn check_all(weaving: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    if weaving {
        checks.extend(go_checks());
        checks.push(Check { group: Group::Weaving, name: "cache folder", state: cache_folder() });
    }
    let features = features::detect();
    let probe_possible = features.iter().all(|Feature { id, state }| {
        let needed = id.purpose() == Purpose::Anatomy;
        !needed || matches!(state, State::Available(_))
    });
    checks.extend(features.into_iter().map(|Feature { id, state }| {
        let group = match id.purpose() {
            Purpose::Spans => Group::Spans,
            Purpose::Anatomy => Group::Anatomy,
            Purpose::AnatomyPart => Group::Parts,
            Purpose::Profiles => Group::Profiles,
            Purpose::Unwoven => Group::Unwoven,
            Purpose::Sockets => Group::Sockets,
            Purpose::Outlook => Group::Outlook,
        };
        Check { group, name: id.name(), state }
    }));
    if probe_possible {
        checks.push(Check { group: Group::Anatomy, name: "scheduler probe", state: scheduler_probe() });
    }
    if features::require_profiles().is_ok() {
        checks.push(Check { group: Group::Profiles, name: "profiler", state: profiler() });
    }
    if features::require_sockets().is_ok() {
        checks.push(Check { group: Group::Sockets, name: "sockets' probe", state: sockets() });
    }
    if features::require_uprobes().is_ok() {
        checks.push(Check { group: Group::Unwoven, name: "probes on functions", state: function_probes() });
    }
    checks.push(Check { group: Group::Agent, name: "agent socket", state: agent_socket() });
    checks.extend(privileges::CAPABILITIES.iter().map(|capability| Check {
        group: Group::Privileges,
        name: capability.name,
        state: privilege(capability),
    }));
    checks
}

fn go_checks() -> Vec<Check> {
    let check = |name, state| Check { group: Group::Weaving, name, state };
    let missing = |why: String, remedy| State::Missing { why, remedy };
    let go = match find_go() {
        Ok(go) => go,
        Err(error) => {
            let remedy = "install Go 1.21 or newer (https://go.dev/dl) and put its bin folder into PATH";
            return vec![check("go command", missing(error.to_string(), remedy))];
        }
    };
    let version = GoEnv::read(&go, Path::new("."))
        .map_err(|error| error.to_string())
        .and_then(|env| env.real_go().map_err(|error| error.to_string()));
    let state = match version {
        Ok(real) if real.version.language() > NEWEST_GO => State::Available(format!(
            "{}, newer than go{}.{} that the packs were made with: what does not match is not woven (tandem explain)",
            real.version_text, NEWEST_GO.0, NEWEST_GO.1
        )),
        Ok(real) => State::Available(format!(
            "{} ({}.{} to {}.{} are supported)",
            real.version_text, OLDEST_GO.0, OLDEST_GO.1, NEWEST_GO.0, NEWEST_GO.1
        )),
        Err(why) => missing(why, "install Go 1.21 or newer, or see what `go version` says in this folder"),
    };
    vec![check("go command", State::Available(go.display().to_string())), check("go version", state)]
}

fn cache_folder() -> State {
    let remedy = "set TANDEM_CACHE to a folder that you may write, on a disk with some room";
    let writable = Cache::open().map_err(|error| error.to_string()).and_then(|cache| {
        tempfile::NamedTempFile::new_in(cache.root())
            .and_then(|mut file| file.write_all(b"tandem"))
            .map(|()| cache.root().display().to_string())
            .map_err(|error| format!("cannot write to {}: {error}", cache.root().display()))
    });
    match writable {
        Ok(folder) => State::Available(folder),
        Err(why) => State::Missing { why, remedy },
    }
}

/// Loads the probe for a moment: the only way to know that the kernel takes it.
fn scheduler_probe() -> State {
    match probe::Kernel::load() {
        Ok(_) => State::Available("loads and attaches".into()),
        Err(error) => State::Missing { why: error.to_string(), remedy: error.remedy() },
    }
}

fn sockets() -> State {
    match probe::Sockets::load(probe::Bytes::DEFAULT, probe::uprobe::Headers::Insert) {
        Ok(_) => State::Available("loads and attaches".into()),
        Err(error) => State::Missing { why: error.to_string(), remedy: error.remedy() },
    }
}

fn privilege(capability: &Capability) -> State {
    let what = format!("{}: {}", capability.kept, capability.reason);
    match capability.is_there() {
        true => State::Available(what),
        false => State::Missing { why: format!("not there. {what}"), remedy: capability.without },
    }
}

/// The same of the profiler.
fn profiler() -> State {
    match probe::Profiler::load(probe::Rate::DEFAULT) {
        Ok(_) => State::Available("loads and attaches".into()),
        Err(error) => State::Missing { why: error.to_string(), remedy: error.remedy() },
    }
}

/// The same of the probes on functions.
fn function_probes() -> State {
    match probe::uprobe::Uprobes::load(probe::uprobe::Headers::Insert) {
        Ok(_) => State::Available("load".into()),
        Err(error) => State::Missing { why: error.to_string(), remedy: error.remedy() },
    }
}

fn agent_socket() -> State {
    let path = environment::path(SOCKET).unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET));
    let shown = path.display();
    let missing = |why: String, remedy| State::Missing { why, remedy };
    if fs::metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        let remedy = "`tandem run -- ./program` needs none; start `tandem agent` to follow every woven program";
        return missing(format!("{shown} does not exist: no agent runs"), remedy);
    }
    // The agent speaks another kind of socket: being told so means that somebody listens, and disturbs nobody.
    match UnixStream::connect(&path).map_err(|error| error.raw_os_error()) {
        Err(Some(libc::EPROTOTYPE)) => State::Available(format!("{shown}: an agent listens")),
        Err(Some(libc::EACCES)) => {
            missing(format!("{shown} may not be used by you"), "ask for the right to write to it")
        }
        _ => missing(
            format!("nobody listens at {shown}"),
            "start `tandem agent`; it replaces a socket that was left behind",
        ),
    }
}

fn print_json(checks: &[Check]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for check in checks {
        let (detail, remedy) = match &check.state {
            State::Available(detail) => (detail, None),
            State::Missing { why, remedy } => (why, Some(remedy)),
        };
        let line = json!({
            "group": check.group.key(), "name": check.name, "required": check.group.required(),
            "available": check.available(), "detail": detail, "remedy": remedy,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn print_table(checks: &[Check], verdict: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let colours = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let painted = |text: &str, code: &str| if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    for group in Group::ALL.into_iter().filter(|group| checks.iter().any(|check| check.group == *group)) {
        writeln!(out, "{}", painted(group.title(), "1"))?;
        for check in checks.iter().filter(|check| check.group == group) {
            let mark = match (check.available(), group.required()) {
                (true, _) => painted("ok", "32"),
                (false, true) => painted("no", "31"),
                (false, false) => painted("--", "33"),
            };
            let (detail, remedy) = match &check.state {
                State::Available(detail) => (detail.as_str(), None),
                State::Missing { why, remedy } => (why.as_str(), Some(*remedy)),
            };
            let mut lines = wrapped(detail, WIDTH - NAME_WIDTH - 6).into_iter();
            let first = lines.next().unwrap_or_default();
            writeln!(out, "  {mark}  {:<width$} {first}", check.name, width = NAME_WIDTH - 1)?;
            for line in lines {
                writeln!(out, "      {:NAME_WIDTH$}{line}", "")?;
            }
            for (index, line) in remedy.iter().flat_map(|remedy| wrapped(remedy, WIDTH - 10)).enumerate() {
                writeln!(out, "      {}  {line}", if index == 0 { "→ " } else { "  " })?;
            }
        }
        writeln!(out)?;
    }
    writeln!(out, "{verdict}")
}

fn verdict(checks: &[Check]) -> &'static str {
    let all = |group: Group| checks.iter().filter(|check| check.group == group).all(Check::available);
    match (all(Group::Weaving), all(Group::Spans), all(Group::Anatomy)) {
        (true, true, true) => "Everything works here: spans, and both halves of their latency anatomy.",
        (true, true, false) => "Spans work here; their anatomy has Go's half only. The lines marked -- say why.",
        (false, true, _) => "Programs cannot be woven here yet; programs woven elsewhere record spans.",
        (_, false, _) => "Woven programs cannot record spans here; the lines marked no say why.",
    }
}

/// Breaks text between words into lines of so many characters; a longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is lost, and only a word that is too long by itself passes the border.
    #[test]
    fn wrapping_keeps_every_word() {
        let text = "one two three averyveryverylongword four";
        let lines = wrapped(text, 9);
        assert_eq!(lines.join(" "), text);
        assert_eq!(lines, ["one two", "three", "averyveryverylongword", "four"]);
    }
}
