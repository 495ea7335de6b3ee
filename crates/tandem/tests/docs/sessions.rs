//! Runs the commands of a page, as a person would type them: one shell, in the folder of a person that is made for it.
//!
//! A command that serves until Ctrl-C gets it before the next such command, and at the end of its block; every other one has to end
//! well by itself. `session.sh` has what of that is shell.

use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::golang::{plain, woven};
use crate::pages::{Block, Fate};
use crate::rig::{TANDEM, kept, program, repository};

/// How long a page may take, builds included: far more than it needs.
const LIMIT: Duration = Duration::from_secs(20 * 60);
/// How long what is asked to end has for it, before it is asked again.
const GRACE: Duration = Duration::from_secs(20);
const SHOP: &str = "crates/tandem/tests/docs/shop";

/// Where commands are run; `session.sh` makes them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    Home,
    Program,
    Plain,
    Running,
    Example,
}

impl Scene {
    pub fn named(name: &str) -> Option<Self> {
        [Self::Home, Self::Program, Self::Plain, Self::Running, Self::Example]
            .into_iter()
            .find(|scene| scene.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Program => "program",
            Self::Plain => "plain",
            Self::Running => "running",
            Self::Example => "example",
        }
    }
}

/// Runs blocks of a page, those of one scene after the other in one session.
pub fn run(blocks: &[Block]) -> Result<(), Failed> {
    if let Some((block, text)) = blocks.iter().find_map(|block| Some((block, block.vain()?))) {
        return Err(format!("{}: there is no {text} to be replaced", block.place()).into());
    }
    let scene = |block: &Block| match &block.fate {
        Fate::Run { scene, .. } => *scene,
        Fate::Not(_) => unreachable!("only blocks that are run come here"),
    };
    for session in blocks.chunk_by(|one, other| scene(one) == scene(other)) {
        perform(scene(&session[0]), session)?;
    }
    Ok(())
}

fn perform(scene: Scene, blocks: &[Block]) -> Result<(), Failed> {
    let home = tempfile::Builder::new().prefix("docs-").tempdir_in("/tmp").expect("a temporary folder");
    for folder in ["src", "logs", "tmp"] {
        fs::create_dir(home.path().join(folder)).expect("a folder");
    }
    let (log, script) = (home.path().join("session"), home.path().join("session.sh"));
    fs::write(&script, text(scene, blocks)).expect("a script");
    let output = fs::File::create(&log).expect("a log");
    let errors = output.try_clone().expect("a descriptor");
    let mut shell = person(&home);
    let mut shell = shell.arg(&script).stdin(Stdio::null()).stdout(output).stderr(errors).spawn().expect("a shell");
    let mut deadline = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = shell.try_wait().expect("a child") {
            break status;
        }
        if Instant::now() > deadline {
            end_session(&shell.id().to_string());
            deadline = Instant::now() + GRACE;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if status.success() {
        return Ok(());
    }
    Err(format!("{status}\n{}", String::from_utf8_lossy(&fs::read(&log).unwrap_or_default())).into())
}

/// Asks all processes of a session to end: a shell by itself would wait for the command that it runs.
fn end_session(session: &str) {
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let is_member = after_name.split_whitespace().nth(3) == Some(session);
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| is_member) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// The script of a session.
fn text(scene: Scene, blocks: &[Block]) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/session.sh");
    let mut script = format!(". '{}'\nscene_{}\n", here.display(), scene.name());
    for block in blocks {
        for command in block.commands() {
            let _ = writeln!(script, "at {}", quoted(&format!("{}: {command}", block.place())));
            if !serves(&command) {
                let _ = writeln!(script, "{command}");
                continue;
            }
            let _ =
                writeln!(script, "ctrl_c\n: >~/logs/serving\n{{\n{command}\n}} >~/logs/serving 2>&1 &\nserving_is $!");
            if command.contains("tandem run ") {
                script += "traced\n";
            }
        }
        script += "ctrl_c\n";
    }
    script
}

/// Whether a command goes on until Ctrl-C: of programs the shop does, others end by themselves, and the example's with its
/// customers. One that is put into the background is left to the shell.
fn serves(command: &str) -> bool {
    let is_setting = |word: &&str| *word == "sudo" || word.split_once('=').is_some_and(|(name, _)| !name.contains('-'));
    let command: Vec<&str> = command.split_whitespace().skip_while(is_setting).collect();
    match command.as_slice() {
        [.., "&"] => false,
        ["tandem", "agent" | "attach" | "ui", ..] => true,
        ["tandem", "open", rest @ ..] => !rest.contains(&"--into"),
        ["tandem", "run", rest @ ..] => rest.contains(&"./shop"),
        ["tandem", "diagnose" | "logs" | "metrics" | "profile" | "trace" | "traces", rest @ ..] => {
            rest.contains(&"--follow")
        }
        ["./shop", ..] => true,
        ["bin/shop", rest @ ..] => !rest.contains(&"--"),
        _ => false,
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A shell with the environment of a person who has nothing but Go and tandem.
fn person(home: &TempDir) -> Command {
    let mut shell = program("setsid");
    shell.args(["--wait", "bash"]).current_dir(home.path());
    let binaries = Path::new(TANDEM).parent().expect("a folder").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("HOME", home.path()).env("PATH", format!("{binaries}:{path}")).env("TMPDIR", home.path().join("tmp"));
    for name in ["XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MAKEFLAGS"] {
        shell.env_remove(name);
    }
    // Go's folders are not the person's: they are filled already.
    let names = ["GOCACHE", "GOMODCACHE", "GOPATH", "GOENV"];
    let answer = Command::new("go").arg("env").args(names).output().expect("the go command");
    for (name, value) in names.iter().zip(String::from_utf8_lossy(&answer.stdout).lines()) {
        shell.env(name, value);
    }
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    shell.env("PORT", free.port().to_string());
    shell.env("TANDEM_CACHE", kept().join("cache")).env("TANDEM_SOCKET", home.path().join("agent.sock"));
    shell.env("REPOSITORY", repository());
    shell.env("WOVEN_SHOP", woven(SHOP, &["./cmd/shop"]).join("shop"));
    shell.env("PLAIN_SHOP", plain(SHOP, &["./cmd/shop"]).join("shop"));
    shell
}
