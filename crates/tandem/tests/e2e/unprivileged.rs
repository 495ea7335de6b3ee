//! Without privileges.
//!
//! Guarantees: `tandem run` says in one line that the kernel half is off, and everything else works as for root.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::prometheus;
use crate::rig::{LIMIT, Rig, Running, run};
use crate::steps::{Steps, program};
use crate::support::skip;

/// Nobody in particular.
const NOBODY: u32 = 65534;

/// A command as nobody, where we are root; else as who we are.
pub fn as_nobody(command: Command) -> Command {
    if !rustix::process::geteuid().is_root() {
        return command;
    }
    let mut nobody = Command::new("setpriv");
    nobody.args([
        format!("--reuid={NOBODY}"),
        format!("--regid={NOBODY}"),
        "--clear-groups".to_owned(),
        "--".to_owned(),
    ]);
    nobody.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => nobody.env(name, value),
            None => nobody.env_remove(name),
        };
    }
    nobody
}

/// Gives the rig's folders to nobody.
pub fn hand_over(rig: &Rig) {
    if rustix::process::geteuid().is_root() {
        for folder in [rig.path().to_owned(), rig.path().join("tmp")] {
            chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may give things away");
        }
    }
}

/// Whether nobody in particular can be had here.
pub fn missing(test: &str) -> bool {
    let mut command = as_nobody(Command::new("true"));
    if command.output().is_ok_and(|output| output.status.success()) {
        return false;
    }
    skip(test, "setpriv cannot take privileges away here");
    true
}

/// A copy where everybody can get at it.
pub fn copy(from: &Path, rig: &Rig) -> PathBuf {
    let to = rig.path().join(from.file_name().expect("a name"));
    std::fs::copy(from, &to).expect("a copy");
    to
}

/// Scenario: a server under `tandem run`, as somebody without rights.
#[test]
fn tandem_run_works_without_root() {
    let test = "unprivileged tandem_run_works_without_root";
    if crate::support::is_without_go(test) || missing(test) {
        return;
    }
    let rig = Rig::new();
    hand_over(&rig);
    let mut observe = rig.observe("run");
    observe.arg("--").arg(copy(&program("steps"), &rig)).arg(rig.path().join("account"));
    let mut tandem = Command::new(copy(Path::new(crate::rig::TANDEM), &rig));
    tandem.args(observe.get_args()).current_dir(rig.path());
    for (name, value) in observe.get_envs() {
        if let Some(value) = value {
            tandem.env(name, value);
        }
    }
    let mut running = Running::start(&mut as_nobody(tandem));
    let input = running.stdin();
    let steps = Steps::of(&mut running, &rig);
    for number in 0..20 {
        prometheus::get(&steps.address, &format!("/step?n={number}"));
    }
    drop(input); // the server ends
    let finished = running.finish();
    assert_eq!(finished.code, 0, "{finished}");
    let about_the_kernel: Vec<_> = finished.said().into_iter().filter(|line| line.contains("kernel half")).collect();
    assert_eq!(about_the_kernel.len(), 1, "{finished}");
    assert!(about_the_kernel[0].contains("off"), "{finished}");

    let spans = rig.spans();
    assert_eq!(steps.numbers(&spans), (0..20).collect::<Vec<_>>());
    assert_eq!(rig.traces(&["--limit", "100"]).len(), 20);
    // Where nothing was waited for, Go's half alone has nothing to say: not even a line.
    let shown = run(rig.tandem("trace").arg("last"), LIMIT);
    let tree = shown.stdout.split_once("DURATION\n").expect("a tree").1;
    assert!(tree.lines().all(|line| line.contains(char::is_alphanumeric)), "{shown}");
    let anatomies: Vec<_> = spans.iter().filter_map(|span| span.anatomy.as_ref()).collect();
    assert!(!anatomies.is_empty(), "Go's half of the anatomy needs no privileges");
    for anatomy in anatomies {
        assert!(anatomy.parts_ns.keys().all(|part| part.starts_with("go_")), "{anatomy:?}");
    }
    rig.assert_nothing_left();
}
