//! A folder with a Go module, a cache of its own for the weave, and runs of go and of the weave in it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Counts the calling test as skipped, with the reason (`scripts/test.sh` adds them up).
pub fn skip(test: &str, reason: &str) {
    println!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os("TANDEM_SKIPS") {
        let mut list = fs::File::options().append(true).create(true).open(path).expect("the list can be written");
        writeln!(list, "{test}: {reason}").expect("the list can be written");
    }
}

pub struct Sandbox {
    dir: tempfile::TempDir,
    pub cache: PathBuf,
    pub variables: Vec<(String, String)>,
    pub unset: Vec<String>,
}

impl Sandbox {
    /// A folder with these files. The weave's cache is shared by all tests: it is safe to use at once, and that is fast.
    pub fn new(files: &[(&str, &str)]) -> Sandbox {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("weave-cache");
        fs::create_dir_all(&cache).expect("the target folder is writable");
        let sandbox = Sandbox { dir, cache, variables: Vec::new(), unset: Vec::new() };
        files.iter().for_each(|(path, text)| sandbox.write(path, text));
        sandbox
    }

    /// The same with a pack of the test's own, which adds one file of hooks, and with its modules looked up.
    pub fn with_pack(files: &[(&str, &str)], pack: &str, hook: (&str, &str)) -> Sandbox {
        let mut sandbox = Sandbox::new(files);
        let folder = sandbox.beside("pack");
        fs::create_dir_all(folder.join("hooks")).expect("writable");
        fs::write(folder.join("pack.yaml"), pack).expect("writable");
        fs::write(folder.join("hooks").join(hook.0), hook.1).expect("writable");
        sandbox.set("TANDEM_PACKS", folder.display().to_string());
        sandbox.plain(&["mod", "tidy"]).ok();
        sandbox
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("user").canonicalize().expect("it was made")
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join("user").join(path);
        fs::create_dir_all(path.parent().expect("below the sandbox")).expect("writable");
        fs::write(path, text).expect("writable");
    }

    /// A folder beside the user's.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().expect("it was made").join(name)
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    pub fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path()).env("PWD", self.path());
        command.env("TANDEM_CACHE", &self.cache).env_remove("TANDEM_PACKS").env("GOFLAGS", "-buildvcs=false -p=2");
        for name in &self.unset {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn weave_command(&self, arguments: &[&str]) -> Command {
        self.command(&weave_program(), arguments)
    }

    pub fn plain_command(&self, arguments: &[&str]) -> Command {
        self.command(Path::new("go"), arguments)
    }

    /// `go …`.
    pub fn plain(&self, arguments: &[&str]) -> Run {
        Run::of(self.plain_command(arguments).output().expect("go is installed"))
    }

    /// `tandem go …`.
    pub fn woven(&self, arguments: &[&str]) -> Run {
        Run::of(self.weave_command(&[&["go"], arguments].concat()).output().expect("the example is built"))
    }

    /// Runs a program that was built here.
    pub fn run(&self, program: &str) -> Run {
        Run::of(self.command(&self.path().join(program), &[]).output().expect("it was built"))
    }

    /// Content of every file of the user's.
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.path(), &mut found);
        found
    }
}

impl Sandbox {
    /// Content of every regular file of the user's: pipes, devices and links are not followed.
    pub fn contents_of_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("readable").flatten() {
                let kind = entry.file_type().expect("it is there");
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    found.insert(entry.path(), fs::read(entry.path()).expect("readable"));
                }
            }
        }
        found
    }
}

fn collect(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).expect("readable").flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), found);
        } else {
            found.insert(entry.path(), fs::read(entry.path()).expect("readable"));
        }
    }
}

/// `examples/weave`, which cargo builds with the tests.
pub fn weave_program() -> PathBuf {
    let test = std::env::current_exe().expect("this process has a file");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    profile.join("examples/weave")
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: Output) -> Run {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    #[track_caller]
    pub fn ok(self) -> Run {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Without our own warnings.
    pub fn without_warnings(mut self) -> Run {
        self.stderr = self.stderr.split_inclusive('\n').filter(|line| !line.starts_with("tandem: warning: ")).collect();
        self
    }

    /// How many packages were compiled, of a run with `-x`.
    pub fn compiled(&self) -> usize {
        self.stderr.lines().filter(|line| line.contains("/compile ") && line.contains(" -p ")).count()
    }
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("readable").flatten() {
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::write(to.join(entry.file_name()), fs::read(entry.path()).expect("readable")).expect("writable");
        }
    }
}
