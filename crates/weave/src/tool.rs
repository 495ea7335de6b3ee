//! The compiler, the linker and the coverage tool as the go command finds them in the shadow tree: links to the tandem
//! binary that run the real tool with small changes, so that what they write speaks of real paths.
//!
//! * `compile`: a woven module's files are recorded under the module's real folder; what the plain build has is copied; woven
//!   packages of the standard library look to their importers as the plain ones do;
//! * `asm`: what belongs to such a copy is copied, too;
//! * `link`: the real GOROOT, modules without our replacements, and the manifest of what was woven;
//! * `cover`: runs on the plain files, and our edits are put into what it made: figures equal a plain build's.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use gobin::literal::{quote, unquote};
use gobin::{MARK_LENGTH, Manifest};
use serde::{Deserialize, Serialize};

use crate::alike::Alike;
use crate::cover;
use crate::goroot::{DESCRIPTION, Description, WRAPPED_TOOLS};
use crate::manifest;
use crate::modules;
use crate::plan::{Mapping, PLAN_VARIABLE};
use crate::reuse::{self, REFUSING_TOOL, REUSE_VARIABLE, Reuse};
use crate::versioned;

/// The hidden sub-command through which `go run` starts programs, and tests the plain go command.
pub const PROGRAM: &str = "program";
/// The variable that carries `Outside` to it.
pub const OUTSIDE_VARIABLE: &str = "TANDEM_OUTSIDE";
/// Variables that a woven run of the go command sets.
const SET_VARIABLES: [&str; 7] =
    ["GOROOT", "GOTOOLCHAIN", "GOWORK", "GOMODCACHE", PLAN_VARIABLE, REUSE_VARIABLE, OUTSIDE_VARIABLE];

/// What a program that the go command starts would have found without us.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outside {
    /// Values of variables that we set; `None` was not set.
    variables: BTreeMap<String, Option<String>>,
    /// The real GOROOT; the go command sets the variable for some programs, and puts its `bin` in front of `PATH`.
    real_root: PathBuf,
    /// Standard error itself, without the pipe of our filter.
    standard_error: Option<PathBuf>,
}

impl Outside {
    /// As it is now, in the process that the person started.
    pub fn now(real_root: &Path, owns_terminal: bool) -> Outside {
        let value = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let can_be_opened = owns_terminal && can_be_opened_again(io::stderr());
        Outside {
            variables: SET_VARIABLES.iter().map(|name| ((*name).to_owned(), value(name))).collect(),
            real_root: real_root.to_owned(),
            standard_error: can_be_opened.then(|| PathBuf::from(format!("/proc/{}/fd/2", std::process::id()))),
        }
    }

    /// The real tree where the go command has named the shadow tree.
    fn own_root(&self, path: OsString) -> Vec<(&'static str, OsString)> {
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let mut variables = Vec::new();
        let is_shadow = |bin: &PathBuf| bin.parent().is_some_and(|root| root.join(DESCRIPTION).is_file());
        let is_known = !self.real_root.as_os_str().is_empty();
        if let Some(first) = folders.first_mut().filter(|first| is_known && is_shadow(first)) {
            *first = self.real_root.join("bin");
            variables.extend(std::env::join_paths(folders).ok().map(|path| ("PATH", path)));
        }
        // A go command that was sent for another version runs with that version's GOROOT.
        let was_sent_for = self.real_root.file_name().is_some_and(|name| name.to_string_lossy().contains("toolchain@"));
        if was_sent_for && self.variables.get("GOROOT").is_none_or(Option::is_none) {
            variables.push(("GOROOT", self.real_root.clone().into_os_string()));
        }
        variables
    }

    /// For the variable.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// A terminal, a pipe, a file that is appended to. Two openings of another file would write over each other.
pub(crate) fn can_be_opened_again(stream: impl AsFd) -> bool {
    let is_regular =
        rustix::fs::fstat(&stream).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file());
    let appends = rustix::fs::fcntl_getfl(&stream).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::APPEND));
    !is_regular || appends
}

/// Gives a command the environment that it would have had without us.
pub(crate) fn as_outside(command: &mut Command) -> Outside {
    let text = std::env::var(OUTSIDE_VARIABLE).unwrap_or_default();
    let outside: Outside = serde_json::from_str(&text).unwrap_or_default();
    for (name, value) in &outside.variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.envs(outside.own_root(std::env::var_os("PATH").unwrap_or_default()));
    outside
}

/// `tandem program NAME …`: runs a program as if it had been started without us. Returns only when that fails.
pub fn run_program(arguments: &[OsString]) -> io::Error {
    let Some((name, arguments)) = arguments.split_first() else { return io::Error::from(io::ErrorKind::InvalidInput) };
    let mut command = Command::new(name);
    let outside = as_outside(&mut command);
    let standard_error = outside.standard_error.and_then(|path| fs::OpenOptions::new().append(true).open(path).ok());
    if let Some(file) = standard_error {
        command.stderr(file);
    }
    // go runs a test in its package's folder: one of the standard library's in the shadow tree.
    let folder = std::env::current_dir().ok().filter(|_| Path::new(name).is_absolute());
    if let Some(real) = folder.and_then(|folder| in_real_tree(&folder, &outside.real_root)) {
        command.current_dir(&real).env("PWD", real);
    }
    command.args(arguments).exec()
}

/// The folder of the real tree in whose place a shadow tree has this one.
fn in_real_tree(folder: &Path, real_root: &Path) -> Option<PathBuf> {
    let root = folder.ancestors().find(|dir| dir.join(DESCRIPTION).is_file())?;
    Some(real_root.join(folder.strip_prefix(root).ok()?))
        .filter(|real| !real_root.as_os_str().is_empty() && real.is_dir())
}

/// If the binary was started as a tool of a shadow tree, does that tool's work.
pub fn run_as_tool() -> Option<ExitCode> {
    let program = PathBuf::from(std::env::args_os().next()?);
    let refusing = REFUSING_TOOL.rsplit('/').next();
    let mut names = WRAPPED_TOOLS.into_iter().chain(refusing);
    let name = names.find(|tool| program.file_name() == Some(OsStr::new(tool)))?;
    let (program, root) = in_shadow_tree(program)?;
    let tool = Tool { name, program, arguments: std::env::args_os().skip(1).collect(), root };
    Some(tool.run().unwrap_or_else(|error| {
        eprintln!("tandem: {name}: {error}");
        ExitCode::FAILURE
    }))
}

/// The path of a tool in its shadow tree, and the tree. Build systems reach the tool through links of their own, in folders
/// that hold nothing else of the tree.
fn in_shadow_tree(mut program: PathBuf) -> Option<(PathBuf, PathBuf)> {
    const MOST_LINKS: usize = 16;
    for _ in 0..MOST_LINKS {
        let folder = program.parent()?.canonicalize().ok()?;
        program = folder.join(program.file_name()?);
        if let Some(root) = folder.ancestors().find(|dir| dir.join(DESCRIPTION).is_file()) {
            let root = root.to_owned();
            return Some((program, root));
        }
        program = folder.join(fs::read_link(&program).ok()?);
    }
    None
}

struct Tool {
    name: &'static str,
    /// Its path in the tree.
    program: PathBuf,
    arguments: Vec<OsString>,
    root: PathBuf,
}

impl Tool {
    fn run(self) -> io::Result<ExitCode> {
        if self.program.ends_with(REFUSING_TOOL) {
            return match reuse::refuse(&self.arguments) {
                Some(mut command) => Err(command.exec()),
                None => Ok(ExitCode::FAILURE),
            };
        }
        let description: Description = serde_json::from_slice(&fs::read(self.root.join(DESCRIPTION))?)?;
        let below = self.program.strip_prefix(&self.root).unwrap_or(&self.program);
        let real = description.real_root.join(below);
        if self.arguments.first().is_some_and(|argument| argument == "-V=full") {
            return self.version(&real);
        }
        match self.name {
            "asm" => self.assemble(&real),
            "compile" => self.compile(&real, &description),
            "link" => self.link(&real, &description, read_plan()?.as_ref()),
            _ => cover::run(&real, &self.arguments, &self.root, &description, read_plan()?.as_ref()),
        }
    }

    /// What the go command takes for the tool's identity: other than the plain tool's where the output is.
    fn version(self, real: &Path) -> io::Result<ExitCode> {
        if matches!(self.name, "asm" | "compile") {
            return Err(Command::new(real).args(self.arguments).exec());
        }
        let output = Command::new(real).args(&self.arguments).output()?;
        let line = String::from_utf8_lossy(&output.stdout);
        // A development version is known by the build id at the line's end: there the mark goes in before it.
        let (head, tail) = line.trim_end().rsplit_once(" buildID=").unwrap_or((line.trim_end(), ""));
        let tail =
            if tail.is_empty() { String::new() } else { format!(" buildID={tail}-tandem-{}", crate::weave_version()) };
        println!("{head} tandem:{}{tail}", crate::weave_version());
        Ok(ExitCode::from(output.status.code().unwrap_or(1) as u8))
    }

    fn assemble(self, real: &Path) -> io::Result<ExitCode> {
        let arguments = Expanded::read(self.arguments)?;
        let words = &arguments.words;
        let output = words.iter().position(|word| word == "-o").and_then(|at| words.get(at + 1)).map(Path::new);
        if let Some((output, aside)) = output.and_then(|output| Some((output, reuse::assembled(output)?))) {
            fs::copy(aside, output)?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(Command::new(real).args(arguments.into_arguments()?).exec())
    }

    fn compile(self, real: &Path, description: &Description) -> io::Result<ExitCode> {
        let mut arguments = Expanded::read(self.arguments)?;
        let folder = Reuse::folder();
        let reuse = folder.as_ref().map(|folder| Reuse { folder, root: &self.root, description });
        if let Some(alike) = Alike::read(&arguments.words, &self.root, description) {
            let status = Command::new(real).args(&arguments.words).status()?;
            if status.success() {
                // Where that cannot be, what the compiler wrote is right, too.
                let _: Result<(), _> = alike.give(real, reuse.as_ref());
            }
            return Ok(ExitCode::from(status.code().unwrap_or(1) as u8));
        }
        if reuse.is_some_and(|reuse| reuse.take(&arguments.words, || read_plan().ok().flatten()).is_some()) {
            return Ok(ExitCode::SUCCESS);
        }
        let cache = self.root.parent().and_then(Path::parent).unwrap_or(&self.root);
        let places = [cache.join(modules::KIND), cache.join(versioned::KIND)];
        let is_woven = |file: &&OsString| places.iter().any(|place| Path::new(file).starts_with(place));
        let file = arguments.words.iter().rev().take_while(|word| ends_in_go(word)).find(is_woven);
        // Most packages lie elsewhere and need nothing, not even the plan.
        if let (Some(file), Some(mapping)) = (file, file.map(|_| read_plan()).transpose()?.flatten()) {
            let rewrites = arguments.words.iter().position(|word| word == "-trimpath").map(|at| at + 1);
            if let (Some((woven, real)), Some(at)) = (mapping.module_place(Path::new(file)), rewrites) {
                // Rewrites are tried in order: with -trimpath go's own come first and win.
                arguments.words[at].push(format!(";{}=>{}", woven.display(), real.display()));
                arguments.changed = true;
            }
        }
        Err(Command::new(real).args(arguments.into_arguments()?).exec())
    }

    fn link(self, real: &Path, description: &Description, mapping: Option<&Mapping>) -> io::Result<ExitCode> {
        let mut arguments = Expanded::read(self.arguments)?;
        let at = arguments.words.iter().position(|word| word == "-importcfg");
        if let (Some(mapping), Some(config)) = (mapping, at.and_then(|at| arguments.words.get_mut(at + 1))) {
            let text = fs::read_to_string(&*config)?;
            let changed = PathBuf::from(&*config).with_extension("tandem.link");
            fs::write(&changed, link_config(&text, mapping, description))?;
            *config = changed.into_os_string();
            arguments.changed = true;
        }
        let mut command = Command::new(real);
        // Empty under -trimpath; otherwise what runtime.GOROOT and stack traces show.
        if std::env::var_os("GOROOT").is_some_and(|root| !root.is_empty()) {
            command.env("GOROOT", &description.real_root);
        }
        Err(command.args(arguments.into_arguments()?).exec())
    }
}

/// The plan of the run that started us; none when a go command works on our tree that we have not started.
fn read_plan() -> io::Result<Option<Mapping>> {
    let Some(file) = std::env::var_os(PLAN_VARIABLE) else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&fs::read(file)?)?))
}

fn ends_in_go(word: &OsStr) -> bool {
    word.as_encoded_bytes().ends_with(b".go")
}

/// Arguments, taken out of a response file where the go command used one (`@file`).
pub(crate) struct Expanded {
    pub(crate) words: Vec<OsString>,
    /// Whether they differ from what was given.
    pub(crate) changed: bool,
    response_file: Option<OsString>,
}

impl Expanded {
    pub(crate) fn read(arguments: Vec<OsString>) -> io::Result<Expanded> {
        let file = match arguments.as_slice() {
            [only] => only
                .as_encoded_bytes()
                .strip_prefix(b"@")
                .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned())),
            _ => None,
        };
        match file {
            None => Ok(Expanded { words: arguments, changed: false, response_file: None }),
            Some(file) => {
                let words = fs::read_to_string(file)?.lines().map(|line| OsString::from(decode(line))).collect();
                Ok(Expanded { words, changed: false, response_file: arguments.into_iter().next() })
            }
        }
    }

    pub(crate) fn into_arguments(self) -> io::Result<Vec<OsString>> {
        let Some(given) = self.response_file else { return Ok(self.words) };
        if self.changed {
            let file = String::from_utf8_lossy(&given.as_encoded_bytes()[1..]).into_owned();
            let text: String = self.words.iter().map(|word| encode(&word.to_string_lossy()) + "\n").collect();
            // The go command made the file for this one run and removes it afterwards.
            fs::write(file, text)?;
        }
        Ok(vec![given])
    }
}

fn decode(line: &str) -> String {
    let mut decoded = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (c, characters.clone().next()) {
            ('\\', Some('n')) => {
                decoded.push('\n');
                characters.next();
            }
            ('\\', Some('\\')) => {
                decoded.push('\\');
                characters.next();
            }
            _ => decoded.push(c),
        }
    }
    decoded
}

fn encode(word: &str) -> String {
    word.replace('\\', "\\\\").replace('\n', "\\n")
}

/// The linker's configuration with our replacements taken out of the module information and our mark put in.
fn link_config(text: &str, mapping: &Mapping, description: &Description) -> String {
    let linked: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("packagefile ")?.split_once('='))
        .map(|(package, _)| package)
        .collect();
    let manifest = manifest::of_program(mapping, &description.go_version, &linked);
    let mut output = String::with_capacity(text.len() + 4096);
    for line in text.lines() {
        match line.strip_prefix("modinfo ").and_then(unquote) {
            Some(information) => {
                output.push_str(&format!("modinfo {}", quote(&module_information(&information, mapping, &manifest))))
            }
            None => output.push_str(line),
        }
        output.push('\n');
    }
    output
}

fn module_information(information: &[u8], mapping: &Mapping, manifest: &Manifest) -> Vec<u8> {
    let Some(text) = information
        .get(MARK_LENGTH..information.len().saturating_sub(MARK_LENGTH))
        .and_then(|text| std::str::from_utf8(text).ok())
    else {
        return information.to_vec();
    };
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let replaced_by = line.strip_prefix("=>\t").and_then(|rest| rest.split('\t').next());
        let shadow = replaced_by
            .and_then(|dir| mapping.modules.iter().find(|shadow| shadow.dir.as_deref() == Some(Path::new(dir))));
        match (shadow, lines.last_mut()) {
            (Some(shadow), Some(last)) => match &shadow.module.replacement {
                Some((path, version)) => lines.push(format!("=>\t{path}\t{version}\t{}", shadow.module.sum)),
                None => *last = format!("{}\t{}", last.trim_end_matches('\t'), shadow.module.sum),
            },
            _ => lines.push(line.to_owned()),
        }
    }
    let first_setting = lines.iter().position(|line| line.starts_with("build\t")).unwrap_or(lines.len());
    let rules: Vec<&str> = manifest.join_points().map(|join_point| join_point.id.as_str()).collect();
    let mark = [
        manifest.line(),
        format!("build\t-tandem={}", manifest.tandem),
        format!("build\t-tandem.joinpoints={}", rules.join(",")),
    ];
    lines.splice(first_setting..first_setting, mark);
    let mut output = information[..MARK_LENGTH].to_vec();
    output.extend(lines.iter().flat_map(|line| line.bytes().chain([b'\n'])));
    output.extend_from_slice(&information[information.len() - MARK_LENGTH..]);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_files_survive() {
        for word in ["a\\nb", "a\nb", "a\\\\", "plain"] {
            assert_eq!(decode(&encode(word)), word);
        }
    }
}
