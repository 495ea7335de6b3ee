//! A pack's own program (`packs/*/program`, `examples/packs/*/program`), woven and run under `tandem run`.

use std::path::{Path, PathBuf};

use model::{LogRecord, Span};

use crate::golang::woven;
use crate::rig::{Finished, LIMIT, Rig, repository, run};

/// What came of a run.
pub struct Observed {
    pub spans: Vec<Span>,
    pub logs: Vec<LogRecord>,
    pub finished: Finished,
}

/// Where packs are: those that every build has, and examples of one's own.
pub const PLACES: [&str; 2] = ["packs", "examples/packs"];

/// A pack's folder, from the repository's.
pub fn folder_of(pack: &str) -> String {
    let folders = PLACES.map(|place| format!("{place}/{pack}"));
    let there = folders.iter().find(|folder| repository().join(folder).join("pack.yaml").is_file());
    there.unwrap_or(&folders[0]).clone()
}

/// The program of a pack in this repository, built once for all tests.
pub fn woven_program(pack: &str) -> PathBuf {
    let module = format!("{}/program", folder_of(pack));
    woven(&module, &["."]).join(executable_name(&repository().join(module)))
}

/// What the go command calls a module's program: the last element of the module's path.
pub fn executable_name(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("go.mod")).expect("a go.mod");
    let path = text.lines().find_map(|line| line.strip_prefix("module ")).expect("a module line");
    path.trim().rsplit('/').next().expect("a name").to_owned()
}

/// Runs a program with some more in its environment. It ends well and leaves nothing behind.
pub fn observe<'a>(program: &Path, environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> Observed {
    let rig = Rig::new();
    let finished = run(rig.observe("run").envs(environment).arg("--").arg(program), LIMIT);
    assert_eq!(finished.code, 0, "{finished}");
    rig.assert_nothing_left();
    // What the kernel half finds of a connection is no pack's to promise, and chance.
    let mut spans = rig.spans();
    spans.iter_mut().for_each(|span| span.attributes.retain(|key, _| !key.starts_with("tandem.tcp.")));
    Observed { spans, logs: rig.logs(&["--limit", "1000"]), finished }
}
