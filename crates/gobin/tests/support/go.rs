//! Programs of `tests/programs`, built with a Go and flags of choice and kept for later runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// How a program is built.
#[derive(Debug, Clone, Copy, Default)]
pub struct Build<'a> {
    /// Folder of `tests/programs`.
    pub program: &'a str,
    /// `go1.21.0`; the installed one by default.
    pub go: Option<&'a str>,
    /// Arguments of `go build`.
    pub arguments: &'a [&'a str],
    pub cgo: bool,
    /// `google.golang.org/grpc@v1.60.0`.
    pub modules: &'a [&'a str],
}

impl Build<'_> {
    /// Builds it, unless it was built before.
    pub fn make(self) -> PathBuf {
        // Tests ask for the same program at the same time.
        static ONE_AFTER_THE_OTHER: Mutex<()> = Mutex::new(());
        let _building = ONE_AFTER_THE_OTHER.lock().unwrap_or_else(PoisonError::into_inner);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(self.program).join("main.go");
        let code = fs::read_to_string(source).expect("a program");
        let key = format!("{self:?}").replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-', "_");
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("gobin-programs").join(&key[key.len().saturating_sub(180)..]);
        let program = folder.join("program");
        if program.exists() && fs::read_to_string(folder.join("main.go")).is_ok_and(|built| built == code) {
            return program;
        }
        fs::create_dir_all(&folder).expect("writable");
        let go = |arguments: &[&str]| {
            let mut command = Command::new("go");
            command.args(arguments).current_dir(&folder).env("GOFLAGS", "-mod=mod -buildvcs=false");
            command.env("CGO_ENABLED", if self.cgo { "1" } else { "0" });
            if let Some(go) = self.go {
                command.env("GOTOOLCHAIN", go);
            }
            let output = command.output().expect("go runs");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{self:?}: go {arguments:?}: {said}");
        };
        fs::write(folder.join("main.go"), &code).expect("writable");
        let _ = fs::remove_file(folder.join("go.sum"));
        fs::write(folder.join("go.mod"), "module example.com/x\n\ngo 1.18\n").expect("writable");
        if !self.modules.is_empty() {
            go(&[&["get"], self.modules].concat());
        }
        let made = format!("made-{}-{:?}", std::process::id(), std::thread::current().id());
        go(&[&["build", "-o", &made], self.arguments].concat());
        fs::rename(folder.join(made), &program).expect("writable");
        program
    }
}

#[allow(dead_code, reason = "not every test links externally")]
/// A C compiler is there, which external linking needs.
pub fn can_link_externally() -> bool {
    let can = Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success());
    if !can {
        println!("skipped: externally linked programs: there is no cc");
    }
    can
}
