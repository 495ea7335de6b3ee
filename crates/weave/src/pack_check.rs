//! `tandem packs check` and `tandem packs test`: a pack is read, its hooks are formatted as gofmt does it, its pieces of
//! source are Go, every rule matches where the pack's own program (or the library at a version it is for) uses it, and the
//! woven packages compile; then the hooks' own tests run inside them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::cache::Cache;
use crate::error::{WeaveError, at};
use crate::go::{self, GoEnv};
use crate::goroot;
use crate::pack::{self, Action, Anchored, Pack, PackSet};
use crate::parse::GoFile;
use crate::token;
use crate::version::ReleaseVersion;
use crate::weave::parses;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it should be.
    pub grade: Grade,
    /// What was looked at.
    pub subject: String,
    /// What was found.
    pub text: String,
}

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Worth a look.
    Doubtful,
    /// Wrong.
    Bad,
}

fn finding(grade: Grade, subject: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding { grade, subject: subject.into(), text: text.into() }
}

/// Looks at the pack in `folder`. The error is a pack that cannot be read, or a machine without Go.
pub fn check(folder: &Path) -> Result<Vec<Finding>, WeaveError> {
    let folder = &folder.canonicalize().map_err(at("read", folder))?;
    let pack = Pack::load(folder)?;
    let hooks = pack.hooks.keys().filter(|name| !is_test(name)).count();
    let mut findings =
        vec![finding(Grade::Good, "form", format!("{} rules, {hooks} files in hooks", pack.rules.len()))];
    findings.extend(names(&pack)?);
    findings.extend(hook_files(folder, &pack)?);
    findings.extend(anchors(&pack));
    if findings.iter().all(|finding| finding.grade != Grade::Bad) {
        findings.extend(compiled(folder, &pack)?);
    }
    Ok(findings)
}

fn is_test(name: &str) -> bool {
    name.ends_with("_test.go")
}

/// Rules of the embedded packs have their names already.
fn names(pack: &Pack) -> Result<Vec<Finding>, WeaveError> {
    let embedded = PackSet::load(&[])?;
    let others = embedded.packs.iter().filter(|other| other.name != pack.name);
    let taken: Vec<&str> = others.flat_map(|other| &other.rules).map(|rule| rule.id.as_str()).collect();
    let is_taken = |id: &&str| taken.contains(id);
    Ok(match pack.rules.iter().map(|rule| rule.id.as_str()).find(is_taken) {
        Some(id) => vec![finding(Grade::Bad, "names", format!("an embedded pack has a rule {id} already"))],
        None if embedded.packs.iter().any(|other| other.name == pack.name) => {
            vec![finding(Grade::Doubtful, "names", format!("the embedded pack {} is replaced by this one", pack.name))]
        }
        None => vec![finding(Grade::Good, "names", "unique")],
    })
}

fn hook_files(folder: &Path, pack: &Pack) -> Result<Vec<Finding>, WeaveError> {
    let mut findings = Vec::new();
    let used: Vec<&String> = pack.rules.iter().flat_map(|rule| &rule.add_files).collect();
    let own = pack.hooks.iter().filter(|(name, _)| folder.join("hooks").join(name).is_file());
    for (name, text) in own {
        let subject = format!("hooks/{name}");
        if GoFile::parse(text).is_none() {
            findings.push(finding(Grade::Bad, &subject, "is not Go"));
        } else if !is_test(name) && !used.contains(&name) {
            findings.push(finding(Grade::Doubtful, &subject, "no rule adds it"));
        }
    }
    if !folder.join("hooks").is_dir() {
        return Ok(findings);
    }
    let go = go::find_go()?;
    let env = GoEnv::read(&go, folder)?;
    let gofmt = Path::new(env.get("GOROOT")).join("bin/gofmt");
    let output = Command::new(&gofmt).args(["-l", "hooks"]).current_dir(folder).output();
    let output = output
        .map_err(|error| WeaveError::GoBroken { command: gofmt.display().to_string(), problem: error.to_string() })?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let changed: Vec<&str> = listed.lines().collect();
    findings.push(if changed.is_empty() && output.status.success() {
        finding(Grade::Good, "gofmt", "would change nothing")
    } else {
        finding(Grade::Bad, "gofmt", format!("would change {}", changed.join(", ")))
    });
    Ok(findings)
}

/// Pieces of source that Go's syntax does not know are found nowhere.
fn anchors(pack: &Pack) -> Vec<Finding> {
    let actions = pack.rules.iter().flat_map(|rule| {
        let alternatives = rule.edits.iter().flat_map(|edit| &edit.alternatives);
        alternatives.map(move |action| (rule, action))
    });
    let mut findings = Vec::new();
    for (rule, action) in actions {
        if let Action::Before(Anchored { anchor, .. })
        | Action::After(Anchored { anchor, .. })
        | Action::Replace(Anchored { anchor, .. }) = action
            && !is_piece_of_go(anchor)
        {
            findings.push(finding(Grade::Bad, format!("rule {}", rule.id), format!("{anchor:?} is not a piece of Go")));
        }
    }
    findings
}

fn is_piece_of_go(anchor: &str) -> bool {
    let opened = token::tokens(anchor).ranges.into_iter().filter(|range| matches!(&anchor[range.clone()], "{")).count();
    let closed = token::tokens(anchor).ranges.into_iter().filter(|range| matches!(&anchor[range.clone()], "}")).count();
    let closing = "}".repeat(opened.saturating_sub(closed));
    let opening = "{".repeat(closed.saturating_sub(opened));
    let statement = |text: &str| parses(&format!("package p\n\nfunc f() {{\n{text}\n}}\n"));
    let forms = [
        format!("{opening}{anchor}{closing}"),
        format!("if x {opening}{anchor}{closing}"),
        format!("switch x {{ {anchor}\n }}"),
        format!("for {anchor}{closing}"),
        format!("_ = f({anchor})"),
        format!("_ = T{{ {anchor} }}"),
        format!("_ = {anchor}"),
        format!("type T struct {{\n{anchor}\n}}"),
        format!("{anchor} x)"),
    ];
    forms.iter().any(|form| statement(form)) || parses(&format!("package p\n\n{anchor}{closing}\n"))
}

/// A folder in which a go command that uses the pack's targets can run, and the words that name them.
struct Workshop {
    dir: PathBuf,
    packages: Vec<String>,
    /// What is woven, for people.
    label: String,
    _scratch: Option<tempfile::TempDir>,
}

fn compiled(folder: &Path, pack: &Pack) -> Result<Vec<Finding>, WeaveError> {
    let workshop = match workshop(folder, pack, Work::Build)? {
        Ok(workshop) => workshop,
        Err(reason) => return Ok(vec![finding(Grade::Doubtful, "compile", reason)]),
    };
    let mut findings = matched(folder, pack, &workshop)?;
    if findings.iter().any(|finding| finding.grade == Grade::Bad) {
        return Ok(findings);
    }
    let mut arguments: Vec<OsString> = vec!["go".into(), "build".into(), "-o".into(), "/dev/null".into()];
    if workshop.packages.len() > 1 {
        arguments.truncate(2); // several packages cannot go to one file; nothing is written for them
    }
    arguments.extend(workshop.packages.iter().map(OsString::from));
    let output =
        own_command(folder, &workshop.dir)?.args(arguments).output().map_err(at("run", Path::new("tandem")))?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    findings.push(if output.status.success() {
        finding(Grade::Good, "compile", workshop.label)
    } else {
        finding(Grade::Bad, "compile", format!("{}\n{}", workshop.label, message.trim_end()))
    });
    Ok(findings)
}

/// This program, with the pack in place of one of the same name.
fn own_command(folder: &Path, dir: &Path) -> Result<Command, WeaveError> {
    let mut command = Command::new(std::env::current_exe().map_err(at("find", Path::new("tandem")))?);
    command.current_dir(dir).env("PWD", dir).env("TANDEM_PACKS", folder);
    Ok(command)
}

/// What `tandem explain` says of the pack's rules.
fn matched(folder: &Path, pack: &Pack, workshop: &Workshop) -> Result<Vec<Finding>, WeaveError> {
    let output = own_command(folder, &workshop.dir)?
        .arg("explain")
        .args(&workshop.packages)
        .output()
        .map_err(at("run", Path::new("tandem")))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        return Err(WeaveError::GoRefused { message, code: output.status.code().unwrap_or(3) as u8 });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    let mut findings = Vec::new();
    for rule in &pack.rules {
        let is_its = |line: &&str| line.get(2..).is_some_and(|rest| rest.split("  ").next() == Some(&rule.id));
        let Some(at) = lines.iter().position(is_its) else { continue };
        let grade = match lines[at].chars().next() {
            Some('+' | '-') => Grade::Good,
            Some('!') => Grade::Bad,
            _ => Grade::Doubtful,
        };
        let detail = lines.get(at + 1).map_or("", |line| line.trim());
        findings.push(finding(grade, format!("rule {}", rule.id), detail));
    }
    Ok(findings)
}

/// What a workshop is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// The program is built.
    Build,
    /// Only packages that its module requires are: it need not be whole.
    Test,
}

/// The pack's own program, or a module of ours that requires the library; or why there is neither.
fn workshop(folder: &Path, pack: &Pack, work: Work) -> Result<Result<Workshop, String>, WeaveError> {
    let program = folder.join("program");
    if program.join("go.mod").is_file() && (work == Work::Test || !is_borrowed(&program)) {
        let label = "program is woven and builds".to_owned();
        return Ok(Ok(Workshop { dir: program, packages: vec!["./...".into()], label, _scratch: None }));
    }
    let mut packages: Vec<String> = pack.rules.iter().map(|rule| rule.target.clone()).collect();
    packages.sort();
    packages.dedup();
    let is_own = pack.module.is_none()
        && packages.iter().any(|target| !goroot::is_standard(pack::below(target).unwrap_or(target)));
    if is_own {
        return Ok(Err(
            "its targets are packages of the program that is built; add a folder `program` that has them".into()
        ));
    }
    let cache = Cache::open()?;
    let scratch = cache.scratch()?;
    let dir = scratch.path().to_owned();
    let manifest = dir.join("go.mod");
    fs::write(&manifest, "module tandem.invalid/check\n\ngo 1.21\n").map_err(at("write", &manifest))?;
    let mut label = format!("{} is woven and builds", packages.join(", "));
    if let Some(module) = &pack.module {
        let go = go::find_go()?;
        let run = |arguments: &[&str]| {
            let mut command = Command::new(&go);
            command.args(arguments).current_dir(&dir).env("GOWORK", "off").env("GOFLAGS", "-mod=mod");
            command.output().map_err(|error| WeaveError::GoBroken {
                command: format!("go {}", arguments.join(" ")),
                problem: error.to_string(),
            })
        };
        let listed = run(&["list", "-m", "-versions", "-f", "{{range .Versions}}{{.}} {{end}}", module])?;
        let versions = String::from_utf8_lossy(&listed.stdout).into_owned();
        let Some(version) = newest_meant(pack, &versions) else {
            return Ok(Err(format!("there is no published version of {module} that its rules are for")));
        };
        let wanted: Vec<String> = packages.iter().map(|target| format!("{target}@{version}")).collect();
        let mut arguments = vec!["get"];
        arguments.extend(wanted.iter().map(String::as_str));
        let got = run(&arguments)?;
        if !got.status.success() {
            return Ok(Err(String::from_utf8_lossy(&got.stderr).trim_end().to_owned()));
        }
        label = format!("{module} {version} is woven and builds");
    }
    Ok(Ok(Workshop { dir, packages, label, _scratch: Some(scratch) }))
}

/// Whether a program is another pack's: then the tests of this repository put it together.
fn is_borrowed(program: &Path) -> bool {
    let text = fs::read_to_string(program.join("test.yaml"));
    text.is_ok_and(|text| text.lines().any(|line| line.starts_with("program_of:")))
}

/// The newest release that at least one rule is for.
fn newest_meant(pack: &Pack, versions: &str) -> Option<String> {
    let is_meant = |text: &&str| {
        let version = ReleaseVersion::parse(text).filter(|_| !text.contains('-'));
        let fits = |version: &ReleaseVersion| {
            pack.rules.iter().any(|rule| rule.version.as_ref().is_none_or(|range| range.contains(version)))
        };
        version.as_ref().is_some_and(fits)
    };
    versions.split_whitespace().rev().find(is_meant).map(str::to_owned)
}

/// Where the rules of a pack end: at the next section, if there is one.
fn end_of_rules(yaml: &str) -> usize {
    let rules = yaml.find("\nrules:").map_or(0, |at| at + 1);
    let mut sections = yaml[rules..].match_indices('\n').map(|(at, _)| rules + at + 1);
    sections.find(|&at| yaml[at..].starts_with(|c: char| c.is_ascii_alphabetic())).unwrap_or(yaml.len())
}

/// Runs the hooks' own tests inside the woven packages, `go test` with these flags.
pub fn test(folder: &Path, flags: &[OsString]) -> Result<Vec<(String, ExitStatus)>, WeaveError> {
    let folder = &folder.canonicalize().map_err(at("read", folder))?;
    let pack = Pack::load(folder)?;
    let cache = Cache::open()?;
    let scratch = cache.scratch()?;
    // A copy of the pack in which each rule adds the tests of its package too.
    let copy = scratch.path().join("pack");
    let hooks = copy.join("hooks");
    fs::create_dir_all(&hooks).map_err(at("create", &hooks))?;
    for (name, text) in &pack.hooks {
        fs::write(hooks.join(name), text).map_err(at("write", &hooks))?;
    }
    let yaml_file = folder.join("pack.yaml");
    let mut yaml = fs::read_to_string(&yaml_file).map_err(at("read", &yaml_file))?;
    let suites = suites(&pack);
    let mut rules = String::new();
    for (number, Suite { target, files, needs, .. }) in suites.iter().enumerate() {
        let list = |items: &[String]| items.join(", ");
        rules += &format!(
            "\n  - {{id: {}.tests{number}, target: {target}, needs: [{}], add_files: [{}]}}\n",
            needs[0],
            list(needs),
            list(files)
        );
    }
    yaml.insert_str(end_of_rules(&yaml), &rules);
    fs::write(copy.join("pack.yaml"), yaml).map_err(at("write", &copy))?;
    let mut done = Vec::new();
    let workshop = match workshop(folder, &pack, Work::Test)? {
        Ok(workshop) => workshop,
        Err(reason) => return Err(WeaveError::GoRefused { message: format!("tandem: {reason}"), code: 3 }),
    };
    for Suite { target, tests, .. } in &suites {
        let pattern = format!("-run=^({})$", tests.join("|"));
        let mut command = own_command(&copy, &workshop.dir)?;
        command.args(["go", "test", "-vet=off", &pattern]).args(flags).arg(target);
        done.push((target.clone(), command.status().map_err(at("run", Path::new("tandem")))?));
    }
    Ok(done)
}

/// The tests for one target.
struct Suite {
    target: String,
    files: Vec<String>,
    tests: Vec<String>,
    needs: Vec<String>,
}

/// Tests belong to the target whose added files have the same package clause.
fn suites(pack: &Pack) -> Vec<Suite> {
    let clause = |text: &str| {
        let file = GoFile::parse_leniently(text);
        file.package_name().map(|name| file.slice(name).to_owned())
    };
    let mut suites: Vec<Suite> = Vec::new();
    for rule in &pack.rules {
        let clauses: Vec<Option<String>> = rule.add_files.iter().map(|name| clause(&pack.hooks[name])).collect();
        let known = suites.iter().position(|suite| suite.target == rule.target);
        let at = known.unwrap_or_else(|| {
            suites.push(Suite { target: rule.target.clone(), files: Vec::new(), tests: Vec::new(), needs: Vec::new() });
            suites.len() - 1
        });
        let suite = &mut suites[at];
        if suite.needs.is_empty() {
            suite.needs.push(rule.id.clone());
        }
        for (name, text) in pack.hooks.iter().filter(|(name, _)| is_test(name)) {
            if clauses.contains(&clause(text)) && !suite.files.contains(name) {
                let file = GoFile::parse_leniently(text);
                suite.files.push(name.clone());
                suite.tests.extend(file.functions().map(|f| f.name.to_owned()).filter(|name| name.starts_with("Test")));
            }
        }
    }
    suites.retain(|suite| !suite.tests.is_empty());
    suites
}
