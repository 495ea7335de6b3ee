//! A pack's own program (`packs/*/program`), woven and run under `tandem run`.

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

/// The program of a pack in this repository, built once for all tests.
pub fn woven_program(pack: &str) -> PathBuf {
    let module = format!("packs/{pack}/program");
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
    Observed { spans: rig.spans(), logs: rig.logs(&["--limit", "1000"]), finished }
}
