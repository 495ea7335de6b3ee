//! Processes for tests: started with an environment that is known, read while they run, ended whatever happens.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use model::{LogRecord, Span, TraceSummary};
use rustix::process::{Pid, Signal};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

pub const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
/// How long anything but a build may take. Far more than it needs, on a machine that is busy with something else.
pub const LIMIT: Duration = Duration::from_secs(90);
/// How long a build may take that also compiles Go's standard library and a translated SQLite.
pub const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Where tests keep what is worth keeping until the next run: woven programs, the weave's cache.
pub fn kept() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A command of tandem with nothing in its environment that would change what it does.
pub fn tandem() -> Command {
    let mut command = program(TANDEM);
    command.env("TANDEM_CACHE", kept().join("cache"));
    command
}

/// A command of any program with nothing in its environment that would change what Tandem does with it.
pub fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let prefixes = ["OTEL_", "TANDEM_", "SHOP_", "TRACEPARENT", "TRACESTATE"];
        if prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.env("NO_COLOR", "1").env("COLUMNS", "80");
    command
}

/// A test's own store and folder for temporary files.
pub struct Rig {
    folder: TempDir,
}

impl Rig {
    pub fn new() -> Self {
        // Not below target/: others must get there, too, and a socket's path is short.
        let folder = tempfile::Builder::new().prefix("e2e-").tempdir_in("/tmp").expect("a temporary folder");
        std::fs::create_dir(folder.path().join("tmp")).expect("a folder for temporary files");
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    fn spans_file(&self) -> PathBuf {
        self.path().join("spans.json")
    }

    /// `tandem COMMAND`, with this rig's store and temporary folder.
    pub fn tandem(&self, command: &str) -> Command {
        let mut tandem = tandem();
        tandem.arg(command).env("TANDEM_STORE", self.store()).env("TMPDIR", self.path().join("tmp"));
        tandem
    }

    /// `tandem run` or `tandem agent` without page, spans to a file.
    pub fn observe(&self, command: &str) -> Command {
        let mut tandem = self.tandem(command);
        tandem.arg("--no-ui").arg(format!("--json={}", self.spans_file().display()));
        tandem
    }

    /// All spans that were written to the file.
    pub fn spans(&self) -> Vec<Span> {
        json_lines(&std::fs::read_to_string(self.spans_file()).unwrap_or_default())
    }

    /// What `tandem traces` lists, with these arguments.
    pub fn traces(&self, arguments: &[&str]) -> Vec<TraceSummary> {
        let output = run(self.tandem("traces").arg("--json").args(arguments), LIMIT);
        assert_eq!(output.code, 0, "{output}");
        json_lines(&output.stdout)
    }

    /// The spans that `tandem trace` shows of one trace.
    pub fn trace(&self, id: &str) -> Vec<Span> {
        let output = run(self.tandem("trace").args([id, "--json"]), LIMIT);
        assert_eq!(output.code, 0, "{output}");
        json_lines(&output.stdout)
    }

    /// The log records that `tandem logs` shows, with these arguments.
    pub fn logs(&self, arguments: &[&str]) -> Vec<LogRecord> {
        let output = run(self.tandem("logs").arg("--json").args(arguments), LIMIT);
        assert_eq!(output.code, 0, "{output}");
        json_lines(&output.stdout)
    }

    /// Whatever was started has ended and has cleared up its temporary files.
    pub fn assert_nothing_left(&self) {
        let left: Vec<_> = std::fs::read_dir(self.path().join("tmp"))
            .expect("the folder for temporary files")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

fn json_lines<T: DeserializeOwned>(text: &str) -> Vec<T> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// What a process that has ended left.
pub struct Finished {
    /// Its exit code, as a shell gives it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// What tandem itself said.
    pub fn said(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| line.strip_prefix("tandem: ")).collect()
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "exit code {}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command, limit: Duration) -> Finished {
    Running::start(command).finish_within(limit)
}

/// A process whose output can be looked at. Dropped, it is ended; dropped by a test that fails, it shows what it wrote.
pub struct Running {
    child: Child,
    words: String,
    stdout: Arc<Stream>,
    stderr: Arc<Stream>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let words = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{words}: {error}"));
        let stdout = Stream::collect(child.stdout.take().expect("standard output"));
        let stderr = Stream::collect(child.stderr.take().expect("standard error"));
        Self { child, words, stdout, stderr }
    }

    /// Standard input; dropped, it is closed.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("standard input, once")
    }

    /// The first line of standard output that fits.
    pub fn stdout_line<T>(&mut self, fits: impl Fn(&str) -> Option<T>) -> T {
        self.stdout_line_within(LIMIT, fits)
    }

    /// The same for one that takes long to come.
    pub fn stdout_line_within<T>(&mut self, limit: Duration, fits: impl Fn(&str) -> Option<T>) -> T {
        let stream = Arc::clone(&self.stdout);
        stream.line(limit, fits).unwrap_or_else(|| self.give_up("no such line on standard output"))
    }

    /// The first line of standard error that fits.
    pub fn stderr_line<T>(&mut self, fits: impl Fn(&str) -> Option<T>) -> T {
        let stream = Arc::clone(&self.stderr);
        stream.line(LIMIT, fits).unwrap_or_else(|| self.give_up("no such line on standard error"))
    }

    /// The address after `what` on standard error: `tandem: metrics at http://…`.
    pub fn address(&mut self, what: &str) -> String {
        let before = format!("tandem: {what} at http://");
        self.stderr_line(|line| {
            line.strip_prefix(&before).map(|rest| rest.split('/').next().unwrap_or(rest).to_owned())
        })
    }

    /// What it wrote, if it has ended.
    #[allow(dead_code, reason = "for servers, which only the tests of packs start")]
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().expect("a child")?;
        Some(format!("{}: {status}\n{}{}", self.words, self.stdout.whole(), self.stderr.whole()))
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Whether it has written this to standard error.
    pub fn said(&self, what: &str) -> bool {
        self.stderr.so_far().contains(what)
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("a process that has not ended");
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(self) -> Finished {
        self.signal(Signal::TERM);
        self.wait(LIMIT)
    }

    /// Waits until it ends by itself, at the latest because its standard input does.
    pub fn finish(self) -> Finished {
        self.finish_within(LIMIT)
    }

    fn finish_within(mut self, limit: Duration) -> Finished {
        drop(self.child.stdin.take());
        self.wait(limit)
    }

    fn wait(mut self, limit: Duration) -> Finished {
        let stdin = self.child.stdin.take(); // which `wait` would close: an end that some programs take for a reason
        let status = eventually(limit, || self.child.try_wait().expect("a child"));
        let Some(status) = status else { self.give_up("it does not end") };
        drop(stdin);
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Finished { code, stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }

    fn give_up(&mut self, what: &str) -> ! {
        panic!("{}: {what}\n{}{}", self.words, self.stdout.so_far(), self.stderr.so_far());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::TERM);
            let ended = eventually(Duration::from_secs(20), || self.child.try_wait().ok().flatten());
            if ended.is_none() {
                let _ = self.child.kill();
            }
        }
        let status = self.child.wait();
        if thread::panicking() {
            let (stdout, stderr) = (self.stdout.so_far(), self.stderr.so_far());
            eprintln!("{}: {status:?}, and wrote:\n{stdout}{stderr}", self.words);
        }
    }
}

/// Asks again and again until there is an answer, at most so long.
pub fn eventually<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// What a process has written so far.
#[derive(Default)]
struct Stream {
    state: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    ended: bool,
}

impl Stream {
    fn collect(mut from: impl Read + Send + 'static) -> Arc<Self> {
        let stream = Arc::new(Self::default());
        let writer = Arc::clone(&stream);
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            loop {
                let read = from.read(&mut buffer).unwrap_or(0);
                let mut state = writer.state();
                state.bytes.extend(&buffer[..read]);
                state.ended = read == 0;
                writer.changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        stream
    }

    fn state(&self) -> MutexGuard<'_, Written> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.state().bytes).into_owned()
    }

    /// All of it, as soon as nobody holds the other end any more. A process that was left behind may do so for long.
    fn whole(&self) -> String {
        let state = self.state();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, Duration::from_secs(20), |state| !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&state.bytes).into_owned()
    }

    /// Waits for a whole line that fits.
    fn line<T>(&self, limit: Duration, fits: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut state = self.state();
        loop {
            let text = String::from_utf8_lossy(&state.bytes);
            let whole_lines = if state.ended { &text[..] } else { &text[..text.rfind('\n').map_or(0, |end| end + 1)] };
            if let Some(found) = whole_lines.lines().find_map(&fits) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
