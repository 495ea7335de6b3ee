//! Finds the processes that somebody wants observed: by id, name, path, port or container; and notices when they end, or
//! become another program.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use gobin::Executable;
use record::{Functions, HeaderFacts};

use crate::observed::{Command, ObservedProcess};
use crate::pipeline::Shared;
use crate::session::handshake::names_agent;
use crate::session::process;

/// How often processes are looked through.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often those are looked at that are about to begin.
const BEGINNING: Duration = Duration::from_millis(20);
/// By this age a woven program has made its memory, or will not: before `main`, so on a busy machine some time after the
/// kernel has begun it.
const BEGUN: Duration = Duration::from_secs(5);

/// Which processes are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The one with this id.
    Process(u32),
    /// Those whose executable has this name, or that were started by it: `python3` is a link to an executable of another name.
    Name(String),
    /// Those that run this executable.
    Path(PathBuf),
    /// Those that listen at this TCP port.
    Port(u16),
    /// Those in a control group whose path holds this text: a container's id, a service's name.
    Container(String),
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(container) = text.strip_prefix("container:") {
            return match container.is_empty() {
                true => Err("after container: comes (a part of) its id".to_owned()),
                false => Ok(Self::Container(container.to_owned())),
            };
        }
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse().ok().filter(|&port| port != 0);
            return port.map(Self::Port).ok_or_else(|| format!("{text} is no port: write :1 to :65535"));
        }
        if text.chars().all(|c| c.is_ascii_digit()) {
            let pid = text.parse().ok().filter(|&pid| pid != 0);
            return pid.map(Self::Process).ok_or_else(|| format!("{text:?} is no process id"));
        }
        Ok(if text.contains('/') { Self::Path(PathBuf::from(text)) } else { Self::Name(text.to_owned()) })
    }
}

impl Selection {
    /// Whether a process is meant. `ports` knows who listens.
    fn means(&self, pid: u32, executable: &Path, ports: &mut Ports) -> bool {
        match self {
            Self::Process(wanted) => *wanted == pid,
            Self::Name(name) => {
                executable.file_name().is_some_and(|own| own.as_encoded_bytes() == name.as_bytes())
                    || started_by(&process::told(pid, "cmdline")) == name
            }
            // In a container its root is another one: the same file under another path.
            Self::Path(path) => {
                executable == path || is_same_file(path, &PathBuf::from(format!("/proc/{pid}/exe"))) == Some(true)
            }
            Self::Port(port) => ports.listens(pid, *port),
            Self::Container(text) => fs::read_to_string(format!("/proc/{pid}/cgroup"))
                .is_ok_and(|groups| groups.lines().any(|line| line.contains(text.as_str()))),
        }
    }
}

/// The name that a command line begins with. Servers that write what they do over it (`redis-server *:6379`) keep it.
fn started_by(command_line: &str) -> &str {
    let first = command_line.split(['\0', ' ']).next().unwrap_or_default();
    first.rsplit('/').next().unwrap_or_default()
}

/// Whether two paths lead to one file; `None`: one leads nowhere.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> Option<bool> {
    let (one, other) = (fs::metadata(one).ok()?, fs::metadata(other).ok()?);
    Some((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Sockets that listen, by network namespace, as far as somebody has asked.
#[derive(Debug, Default)]
struct Ports {
    listening: HashMap<PathBuf, HashMap<u64, u16>>,
}

impl Ports {
    fn listens(&mut self, pid: u32, port: u16) -> bool {
        let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/net")) else { return false };
        let sockets = self.listening.entry(namespace).or_insert_with(|| {
            let table = |name| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
            ["tcp", "tcp6"].map(table).iter().flat_map(|table| table.lines().filter_map(listening)).collect()
        });
        if !sockets.values().any(|&known| known == port) {
            return false;
        }
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| {
            let socket =
                target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            socket.is_some_and(|inode: u64| sockets.get(&inode) == Some(&port))
        })
    }
}

/// Inode and port of a line of the kernel's table of sockets, if that one listens.
fn listening(line: &str) -> Option<(u64, u16)> {
    const LISTENS: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTENS {
        return None;
    }
    let port = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()?;
    Some((fields.get(9)?.parse().ok()?, port))
}

/// What makes a process the one that it was: when it was started, and which executable it runs.
type Sign = (u64, u64, u64);

fn sign(pid: u32) -> Option<Sign> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let started = fields.nth(18)?.parse().ok()?;
    let executable = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((started, executable.dev(), executable.ino()))
}

/// How long ago a process was started, if that is how it signs.
fn age((started, ..): Sign) -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since_boot = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
    since_boot
        .saturating_sub(Duration::from_secs_f64(started as f64 / rustix::param::clock_ticks_per_second().max(1) as f64))
}

/// The thread that looks. Dropped, it ends.
pub(crate) struct Discovery {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Discovery {
    /// With `agent`, only processes that were told to find theirs at that socket.
    pub(crate) fn start(
        selections: Vec<Selection>,
        agent: Option<PathBuf>,
        observers: Vec<Sender<Command>>,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let mut finder = Finder { selections, agent, observers, known: HashMap::new(), beginning: Vec::new() };
        let thread = thread::Builder::new().name("tandem-discover".to_owned()).spawn(move || {
            finder.run(&stopped, &shared);
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Finder {
    selections: Vec<Selection>,
    agent: Option<PathBuf>,
    observers: Vec<Sender<Command>>,
    known: HashMap<u32, Sign>,
    /// Woven ones of them that have not made their memory yet. Probes that were told of one before would never know which span a
    /// goroutine is in.
    beginning: Vec<ObservedProcess>,
}

impl Finder {
    fn run(&mut self, stopped: &Receiver<()>, shared: &Shared) {
        let mut due = Instant::now();
        loop {
            if due <= Instant::now() {
                self.look(shared);
                due = Instant::now() + LOOK_EVERY;
            }
            self.look_at_beginning(shared);
            shared.state().statistics.looked += u64::from(self.beginning.is_empty());
            shared.changed.notify_all();
            let pause =
                if self.beginning.is_empty() { due.saturating_duration_since(Instant::now()) } else { BEGINNING };
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Goes on with those that have begun, or that will not.
    fn look_at_beginning(&mut self, shared: &Shared) {
        for mut process in std::mem::take(&mut self.beginning) {
            let pid = process.pid;
            // Another program has come in its place, or nobody: the next look through processes finds out.
            let Some(sign) = sign(pid).filter(|own| self.known.get(&pid) == Some(own)) else { continue };
            process.facts = facts(pid);
            if process.facts.is_none() && age(sign) < BEGUN {
                self.beginning.push(process);
            } else {
                self.watch(process, shared);
            }
        }
    }

    fn watch(&self, process: ObservedProcess, shared: &Shared) {
        let process = Arc::new(process);
        shared.state().statistics.asked += self.observers.len() as u64; // before anybody answers
        self.tell(|| Command::Watch(Arc::clone(&process)));
    }

    /// One look through processes.
    fn look(&mut self, shared: &Shared) {
        let gone: Vec<u32> =
            self.known.iter().filter(|(pid, own)| sign(**pid) != Some(**own)).map(|(&pid, _)| pid).collect();
        for pid in gone {
            self.known.remove(&pid);
            self.tell(|| Command::End(pid));
        }
        let by_id = |selection: &Selection| match selection {
            Selection::Process(pid) => Some(*pid),
            _ => None,
        };
        let named: Option<HashSet<u32>> = self.selections.iter().map(by_id).collect();
        let candidates = named.map_or_else(process::all, |pids| pids.into_iter().collect());
        let mut ports = Ports::default();
        for pid in candidates {
            if self.known.contains_key(&pid) {
                continue;
            }
            let Ok(executable) = fs::read_link(format!("/proc/{pid}/exe")) else { continue }; // a thread of the kernel
            let is_meant = self.selections.iter().any(|selection| selection.means(pid, &executable, &mut ports))
                && self.agent.as_ref().is_none_or(|socket| names_agent(pid, socket) == Some(true));
            let Some(sign) = sign(pid).filter(|_| is_meant) else { continue };
            self.known.insert(pid, sign);
            let process = describe(pid);
            if process.manifest.is_some() && process.facts.is_none() {
                self.beginning.push(process);
            } else {
                self.watch(process, shared);
            }
        }
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for observer in &self.observers {
            let _ = observer.send(command());
        }
    }
}

/// Where a woven program keeps the spans of its goroutines; `None`: it has not made its memory.
fn facts(pid: u32) -> Option<HeaderFacts> {
    let memory = process::find_memory(pid, true)?;
    Some(Functions::open(memory.as_fd()).ok()??.header().facts)
}

/// What is known of a process before anybody looks into it.
pub fn describe(pid: u32) -> ObservedProcess {
    let executable = PathBuf::from(format!("/proc/{pid}/exe"));
    let go = Executable::read(&executable).ok().map(|executable| Arc::new(executable.build));
    let manifest = go.as_ref().and_then(|build| build.manifest().ok().flatten()).map(Arc::new);
    let facts = manifest.as_ref().and_then(|_| facts(pid));
    let resource =
        process::resource_from_outside(pid, go.as_ref().map(|build| build.go_version.as_str()), manifest.is_some());
    ObservedProcess { pid, executable, go, manifest, facts, resource: Arc::new(resource) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What a person writes says by its form what it means.
    #[test]
    fn selections_are_told_apart_by_their_form() {
        let parse = |text: &str| text.parse::<Selection>();
        assert_eq!(parse("12"), Ok(Selection::Process(12)));
        assert_eq!(parse("shop"), Ok(Selection::Name("shop".to_owned())));
        assert_eq!(parse("./shop"), Ok(Selection::Path(PathBuf::from("./shop"))));
        assert_eq!(parse(":8080"), Ok(Selection::Port(8080)));
        assert_eq!(parse("container:ab12"), Ok(Selection::Container("ab12".to_owned())));
        for wrong in ["0", "99999999999", ":0", ":http", "container:"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Titles that servers give themselves begin with what they were started by.
    #[test]
    fn a_command_line_begins_with_the_program() {
        for line in ["/usr/bin/python3\0-c\0import os\0", "python3\0", "/usr/bin/python3 *:6379\0"] {
            assert_eq!(started_by(line), "python3");
        }
        assert_eq!(started_by(""), "");
    }

    /// This very process is found in every way.
    #[test]
    fn a_process_is_found_in_every_way() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let pid = std::process::id();
        let executable = std::env::current_exe().expect("known");
        let name = executable.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let mut ports = Ports::default();
        for selection in
            [Selection::Process(pid), Selection::Name(name), Selection::Path(executable.clone()), Selection::Port(port)]
        {
            assert!(selection.means(pid, &executable, &mut ports), "{selection:?}");
        }
        let other = std::os::unix::process::parent_id();
        assert!(!Selection::Port(port).means(other, &executable, &mut ports));
        assert!(sign(pid).is_some() && sign(pid) == sign(pid));
        let link = tempfile::tempdir().expect("a folder");
        let link = link.path().join("called-otherwise");
        std::os::unix::fs::symlink("/bin/sleep", &link).expect("a link");
        let mut other = std::process::Command::new(&link).arg("1000").spawn().expect("sleep is everywhere");
        let named = Selection::Name("called-otherwise".to_owned());
        // Who starts it goes on before the kernel has put the command line there.
        while process::told(other.id(), "cmdline").is_empty() && !process::has_ended(other.id()) {
            thread::yield_now();
        }
        let found = named.means(other.id(), Path::new("/bin/sleep"), &mut ports);
        other.kill().and_then(|()| other.wait()).expect("ours");
        assert!(found);
        assert_eq!(describe(pid).go, None);
        assert_eq!(describe(pid).resource.service(), executable.file_name().expect("a name").to_string_lossy());
    }
}
