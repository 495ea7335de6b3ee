//! Real servers for the packs' programs: one file each. `start` gives a server that answers, on a free port of the loopback
//! interface, with a private folder for what it keeps; dropped, it is ended by its own process id. A server whose programs
//! this machine lacks is [`Missing`], with the reason. Each run of a program has servers of its own, which start empty.
//!
//! To add one: write `servers/NAME.rs` with a `start` like the others', and name it in [`SERVERS`]. The program finds it in
//! its environment, under the name that the file's first lines say.

mod cassandra;
mod clickhouse;
mod etcd;
mod kafka;
mod mariadb;
mod memcached;
mod mongo;
mod nats;
mod postgres;
mod rabbitmq;
mod redis;
mod redis_cluster;
mod temporal;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::rig::{LIMIT, Running, eventually, program, repository, run};

/// What `servers:` in `test.yaml` may name.
const SERVERS: &[(&str, Start)] = &[
    ("cassandra", cassandra::start),
    ("clickhouse", clickhouse::start),
    ("etcd", etcd::start),
    ("kafka", kafka::start),
    ("mariadb", mariadb::start),
    ("memcached", memcached::start),
    ("mongo", mongo::start),
    ("nats", nats::start),
    ("postgres", postgres::start),
    ("rabbitmq", rabbitmq::start),
    ("redis", redis::start),
    ("redis-cluster", redis_cluster::start),
    ("temporal", temporal::start),
];

type Start = fn() -> Result<Server, NotStarted>;

/// Why there is no such server on this machine.
#[derive(Debug)]
pub struct Missing(pub String);

/// Why a server does not answer.
#[derive(Debug)]
pub enum NotStarted {
    /// The test is to be skipped.
    Missing(Missing),
    /// It ended by itself, with this output. Somebody may have taken its port.
    Ended(String),
}

impl From<Missing> for NotStarted {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

/// A server that answers.
pub struct Server {
    /// Where the program finds it.
    pub environment: Vec<(&'static str, String)>,
    /// In the order in which they are ended.
    parts: Vec<Running>,
    /// How it is asked to end.
    end: Signal,
    /// After the processes: they write into it until they end.
    folder: Folder,
}

impl Drop for Server {
    fn drop(&mut self) {
        for mut part in self.parts.drain(..) {
            if part.ended().is_none() {
                part.signal(self.end);
            }
        }
    }
}

/// The names of all servers.
pub fn names() -> impl Iterator<Item = &'static str> {
    SERVERS.iter().map(|(name, _)| *name)
}

/// Starts a server by its name.
pub fn start(name: &str) -> Result<Server, Missing> {
    let start = SERVERS.iter().find(|(known, _)| *known == name).map(|(_, start)| start);
    let start = start.unwrap_or_else(|| panic!("there is no server {name} in tests/packs/servers"));
    let mut outputs = Vec::new();
    for _ in 0..3 {
        match start() {
            Ok(server) => return Ok(server),
            Err(NotStarted::Missing(missing)) => return Err(missing),
            Err(NotStarted::Ended(output)) => outputs.push(output),
        }
    }
    panic!("the server {name} does not start:\n{}", outputs.join("\n"));
}

/// A port that nobody used a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The first of the files that is there: names are looked for in PATH, and `*` stands for a folder, of which the last is taken.
fn find(candidates: &[&str]) -> Result<PathBuf, Missing> {
    let found = candidates.iter().find_map(|candidate| match candidate.split_once("/*/") {
        Some((before, after)) => {
            let mut folders: Vec<PathBuf> = fs::read_dir(before).ok()?.flatten().map(|entry| entry.path()).collect();
            folders.sort();
            folders.into_iter().rev().map(|folder| folder.join(after)).find(|path| path.is_file())
        }
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|folder| folder.join(candidate)).find(|path| path.is_file())
        }
    });
    found.ok_or_else(|| Missing(format!("there is no {} here", candidates[0].rsplit('/').next().unwrap_or_default())))
}

/// A private folder and who writes into it: the tests may be root's, which many servers refuse to be.
pub struct Folder {
    folder: TempDir,
    user: Option<(u32, u32)>,
}

impl Folder {
    /// A folder of whoever runs the tests.
    pub fn own() -> Self {
        // Not below target/: others must get there, too, and a socket's path is short.
        let folder = tempfile::Builder::new().prefix("server-").tempdir_in("/tmp").expect("a temporary folder");
        Self { folder, user: None }
    }

    /// A folder of `user`, if the tests are root's.
    pub fn of_user(user: &str) -> Result<Self, Missing> {
        let mut folder = Self::own();
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = ids(user).ok_or_else(|| Missing(format!("there is no user {user} to run it as")))?;
            chown(folder.path(), Some(uid), Some(gid)).expect("root may");
            folder.user = Some((uid, gid));
            let may = run(&mut folder.command("/bin/true"), LIMIT);
            if may.code != 0 {
                return Err(Missing(format!("setpriv cannot make {user} of root: {}", may.stderr.trim())));
            }
        }
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A command that runs as the folder's user, in it.
    pub fn command(&self, path: impl AsRef<Path>) -> Command {
        let mut command = match self.user {
            None => program(path.as_ref()),
            Some((uid, gid)) => {
                let mut setpriv = program("setpriv");
                setpriv.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}"));
                setpriv.args(["--clear-groups", "--"]).arg(path.as_ref());
                setpriv
            }
        };
        command.current_dir(self.path()).env("HOME", self.path()).env("TMPDIR", self.path());
        command
    }

    /// Runs a command to its end, which must be a good one.
    pub fn prepare(&self, command: &mut Command) {
        let finished = run(command, LIMIT);
        assert_eq!(finished.code, 0, "{command:?}: {finished}");
    }

    /// Starts the server, and waits until it answers.
    pub fn serve(self, command: &mut Command, answers: impl FnMut() -> bool) -> Result<Server, NotStarted> {
        self.serve_beside(Vec::new(), command, answers)
    }

    /// The same beside other processes of its own, which end after it.
    pub fn serve_beside(
        self,
        beside: Vec<Running>,
        command: &mut Command,
        mut answers: impl FnMut() -> bool,
    ) -> Result<Server, NotStarted> {
        let mut main = Running::start(command);
        let answered = eventually(START_LIMIT, || match main.ended() {
            Some(output) => Some(Err(NotStarted::Ended(output))),
            None => answers().then_some(Ok(())),
        });
        answered.unwrap_or_else(|| panic!("{command:?} does not answer"))?;
        let parts = std::iter::once(main).chain(beside).collect();
        Ok(Server { environment: Vec::new(), parts, end: Signal::TERM, folder: self })
    }
}

impl Server {
    /// Where it keeps what it keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ids of its processes, the server's own first.
    #[allow(dead_code, reason = "for those who observe it")]
    pub fn pids(&self) -> Vec<i32> {
        self.parts.iter().map(Running::pid).collect()
    }

    /// What the program finds in its environment.
    pub fn found_in(mut self, name: &'static str, value: String) -> Self {
        self.environment.push((name, value));
        self
    }

    /// A signal that ends it, where SIGTERM is not the quickest.
    pub fn ended_by(mut self, signal: Signal) -> Self {
        self.end = signal;
        self
    }
}

/// How long a server may take until it answers: some are Java's, and the machine may be busy.
const START_LIMIT: Duration = Duration::from_secs(300);

fn ids(user: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().find(|line| line.split(':').next() == Some(user))?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Whether a server on this port says something that begins so, after it was asked.
fn says(port: u16, question: &[u8], answer: &[u8]) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        connection.write_all(question)?;
        let mut said = vec![0; answer.len()];
        connection.read_exact(&mut said)?;
        Ok(said == answer)
    };
    ask().unwrap_or(false)
}

/// A server that is made once and kept in `target/servers`: `make` fills the folder `NAME`, which then has `file`. Other test
/// programs that want the same wait.
#[allow(dead_code, reason = "for servers that Debian does not have")]
pub fn made_once(name: &str, file: &str, make: impl FnOnce(&Path) -> Result<(), Missing>) -> Result<PathBuf, Missing> {
    let servers = repository().join("target/servers");
    fs::create_dir_all(&servers).expect("the target folder can be written");
    let servers = servers.canonicalize().expect("it was just made");
    let lock = File::create(servers.join(format!("{name}.lock"))).expect("the target folder can be written");
    lock.lock().expect("a lock");
    let folder = servers.join(name);
    if !folder.join(file).exists() {
        fs::create_dir_all(&folder).expect("the target folder can be written");
        make(&folder)?;
        assert!(folder.join(file).exists(), "{} was not made", folder.join(file).display());
    }
    Ok(folder.join(file))
}
