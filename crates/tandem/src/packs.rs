//! `tandem packs …`: what packs there are, a new one, whether one is in order, and for which versions it holds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use weave::WeaveError;
use weave::condition::Kind;
use weave::pack::{Pack, PackSet, Rule, Spans};
use weave::pack_check::{self, Grade};
use weave::pack_verify::{self, VersionSpan};
use weave::weave::Outcome;
use weave::{pack_new, pack_source};

use crate::failure;

/// List, show, write, check and verify packs.
///
/// A pack instruments one library: rules that say where, and Go files with what is done there. docs/packs.md has the words,
/// docs/writing-packs.md a pack from beginning to end.
#[derive(Args)]
pub struct Packs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the packs of a build in this folder, with their rules.
    #[command(after_help = "\
Examples:
  tandem packs list          # ours, and those of this project
  tandem packs list --json")]
    List {
        /// Print one JSON object a pack.
        #[arg(long)]
        json: bool,
    },
    /// Write a small pack that works, to begin with.
    #[command(after_help = "\
Examples:
  tandem packs new greet   # makes the folder greet, with a program that shows it")]
    New {
        /// Its name, and that of the new folder.
        name: String,
    },
    /// Show one pack: its rules, where they apply and which files they add; the spans that it makes.
    #[command(after_help = "\
Examples:
  tandem packs show net/http   # by name
  tandem packs show ./greet    # by folder

Exit codes: 0; 2 when there is no such pack.")]
    Show {
        /// Name of a pack, or folder of one.
        pack: String,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Check a pack: its form, its hooks, that its rules match and that what is woven compiles.
    #[command(after_help = "\
Examples:
  tandem packs check ./greet

Exit codes: 0 all is well, 1 something is wrong.")]
    Check {
        /// Folder of the pack.
        #[arg(default_value = ".")]
        pack: PathBuf,
    },
    /// Run the tests of a pack's hooks inside the woven packages.
    #[command(after_help = "\
Examples:
  tandem packs test ./greet -v

Exit codes: 0 they pass, 1 they do not.")]
    Test {
        /// Folder of the pack.
        pack: PathBuf,
        /// Flags of `go test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<OsString>,
    },
    /// Say for each published version of the library, or each Go at hand, where the rules match. Nothing is compiled.
    #[command(after_help = "\
Examples:
  tandem packs verify ./bbolt                           # every published version of its library
  tandem packs verify net/http --versions 1.21..1.27    # of a pack for Go's own: every Go at hand
  tandem packs verify ./bbolt --markdown > versions.md  # the table that a pack carries

Exit codes: 0 every rule that is meant for a version matches, 1 one does not, 2 there is no such pack.")]
    Verify {
        /// Name of a pack, or folder of one.
        pack: String,
        /// Which versions: FROM..TO, both included; either may be missing.
        #[arg(long, value_parser = VersionSpan::parse, default_value = "..")]
        versions: VersionSpan,
        /// Print one JSON object a version.
        #[arg(long, conflicts_with = "markdown")]
        json: bool,
        /// Print the table that a pack carries.
        #[arg(long)]
        markdown: bool,
    },
}

impl Packs {
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::List { json } => list(json),
            Command::Show { pack, json } => show(&pack, json),
            Command::New { name } => new(&name),
            Command::Check { pack } => check(&pack),
            Command::Test { pack, flags } => test(&pack, &flags),
            Command::Verify { pack, versions, json, markdown } => verify(&pack, &versions, json, markdown),
        };
        done.unwrap_or_else(failure::weave)
    }
}

fn packs_here() -> Result<PackSet, WeaveError> {
    pack_source::packs_in(Path::new("."))
}

/// A folder with a pack, or a pack of the build here.
fn find(name: &str) -> Result<Result<Pack, ExitCode>, WeaveError> {
    if Path::new(name).join("pack.yaml").is_file() {
        return Ok(Ok(Pack::load(Path::new(name))?));
    }
    let set = packs_here()?;
    let names: Vec<String> = set.packs.iter().map(|pack| pack.name.clone()).collect();
    Ok(set.packs.into_iter().find(|pack| pack.name == name).ok_or_else(|| {
        eprintln!(
            "tandem: there is no pack {name} here, and no folder {name} with a pack.yaml; there are {}",
            names.join(", ")
        );
        ExitCode::from(2)
    }))
}

/// What a pack edits: a module, Go itself, or the packages of the program.
fn edited(pack: &Pack) -> &str {
    let is_standard = pack.rules.iter().all(|rule| weave::goroot::is_standard(&rule.target));
    pack.module.as_deref().unwrap_or(if is_standard { "Go" } else { "your own packages" })
}

fn range(rule: &Rule) -> String {
    let go = rule.go.as_ref().map(|range| format!("Go {range}"));
    let version = rule.version.as_ref().map(ToString::to_string);
    let parts: Vec<String> = version.into_iter().chain(go).collect();
    if parts.is_empty() { "all versions".to_owned() } else { parts.join("; ") }
}

fn on_or_off(off: bool) -> &'static str {
    if off { "off" } else { "on" }
}

fn pack_json(pack: &Pack) -> serde_json::Value {
    let rule = |rule: &Rule| {
        json!({
            "id": rule.id, "description": rule.description, "target": rule.target,
            "version": rule.version.as_ref().map(ToString::to_string), "go": rule.go.as_ref().map(ToString::to_string),
            "add_files": rule.add_files, "needs": rule.needs, "default": on_or_off(rule.off),
            "places": rule.edits.iter().map(|edit| edit.place.condition.to_string()).collect::<Vec<_>>(),
        })
    };
    let spans = |spans: &Spans| {
        json!({
            "scope": spans.scope, "kind": spans.kind.to_string(), "description": spans.description,
            "operations": spans.operations, "default": on_or_off(spans.off),
            "always": spans.always, "sometimes": spans.sometimes,
        })
    };
    json!({
        "pack": pack.name, "description": pack.description, "module": pack.module, "source": pack.source,
        "rules": pack.rules.iter().map(rule).collect::<Vec<_>>(),
        "spans": pack.spans.iter().map(spans).collect::<Vec<_>>(),
    })
}

fn list(as_json: bool) -> Result<ExitCode, WeaveError> {
    for pack in packs_here()?.packs {
        if as_json {
            println!("{}", pack_json(&pack));
            continue;
        }
        println!("{}  {}\n    edits {}; from {}", pack.name, pack.description, edited(&pack), pack.source);
        for rule in &pack.rules {
            println!("    {}  {}", rule.id, range(rule));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(name: &str, as_json: bool) -> Result<ExitCode, WeaveError> {
    let pack = match find(name)? {
        Ok(pack) => pack,
        Err(code) => return Ok(code),
    };
    if as_json {
        println!("{}", pack_json(&pack));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}  {}\nedits {}; from {}", pack.name, pack.description, edited(&pack), pack.source);
    for rule in &pack.rules {
        let off = if rule.off { "  (off by default: `enable:` in tandem.yaml)" } else { "" };
        println!("\n{}  {}{off}\n    in {}, {}", rule.id, rule.description, rule.target, range(rule));
        if !rule.needs.is_empty() {
            println!("    needs {}", rule.needs.join(", "));
        }
        for edit in &rule.edits {
            let gate = edit.go.as_ref().map_or(String::new(), |range| format!(" (Go {range})"));
            let gate = edit.version.as_ref().map_or(gate.clone(), |range| format!("{gate} ({range})"));
            let optional = if edit.optional { " (optional)" } else { "" };
            let all =
                if edit.place.condition.names_its_place() || edit.place.kind == Kind::File { "" } else { "every " };
            println!("    {all}{}{gate}{optional}", edit.place.condition);
        }
        if !rule.add_files.is_empty() {
            println!("    adds {}", rule.add_files.join(", "));
        }
    }
    for spans in &pack.spans {
        let description = if spans.description.is_empty() { String::new() } else { format!("  {}", spans.description) };
        let off = if spans.off { "  (off by default: TANDEM_ENABLE, `tandem enable`)" } else { "" };
        println!("\n{} spans of {}{description}{off}", spans.kind, spans.scope);
        if !spans.operations.is_empty() {
            println!("    by {}", spans.operations.join(", "));
        }
        for (what, keys) in [("always", &spans.always), ("sometimes", &spans.sometimes)] {
            if !keys.is_empty() {
                println!("    {what} {}", keys.join(", "));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn new(name: &str) -> Result<ExitCode, WeaveError> {
    for path in pack_new::write(Path::new("."), name)? {
        println!("{}", path.display());
    }
    println!("\nTry: tandem packs check {name} && tandem packs test {name}");
    Ok(ExitCode::SUCCESS)
}

fn check(folder: &Path) -> Result<ExitCode, WeaveError> {
    let findings = pack_check::check(folder)?;
    for finding in &findings {
        let mark = match finding.grade {
            Grade::Good => "+",
            Grade::Doubtful => "?",
            Grade::Bad => "!",
        };
        println!("{mark} {}  {}", finding.subject, finding.text);
    }
    let is_bad = findings.iter().any(|finding| finding.grade == Grade::Bad);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn test(folder: &Path, flags: &[OsString]) -> Result<ExitCode, WeaveError> {
    let done = pack_check::test(folder, flags)?;
    if done.is_empty() {
        println!("there are no tests in {}", folder.join("hooks").display());
    }
    let failed = done.iter().any(|(_, status)| !status.success());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn verify(name: &str, versions: &VersionSpan, as_json: bool, as_markdown: bool) -> Result<ExitCode, WeaveError> {
    let pack = match find(name)? {
        Ok(pack) => pack,
        Err(code) => return Ok(code),
    };
    if pack.module.is_none() && !pack.rules.iter().any(|rule| weave::goroot::is_standard(&rule.target)) {
        eprintln!(
            "tandem: {} is for your own packages, of which no versions are published; tandem explain says where it matches",
            pack.name
        );
        return Ok(ExitCode::from(2));
    }
    let verified = pack_verify::verify(&pack, versions, &|line| eprintln!("tandem: {line}"))?;
    let is_lost = |outcome: &Outcome| matches!(outcome, Outcome::NotFound { .. });
    let lost = verified.iter().flat_map(|version| &version.reports).any(|report| is_lost(&report.outcome));
    if as_json {
        verified.iter().for_each(|version| println!("{}", serde_json::to_string(version).expect("plain data")));
    } else if as_markdown {
        print!("{}", pack_verify::markdown(&pack, &verified));
    } else {
        for rule in &pack.rules {
            println!("{}  {}", rule.id, rule.description);
            for run in pack_verify::runs(&verified, &rule.id) {
                let (mark, what) = match run.outcome {
                    Outcome::Matched { places } => ("+", format!("in {}", places.join(", "))),
                    Outcome::OutOfRange { reason } => ("-", reason.clone()),
                    Outcome::NotFound { reason } | Outcome::NotUsed { reason } => ("!", reason.clone()),
                };
                let number = if run.count == 1 { String::new() } else { format!(" ({} versions)", run.count) };
                println!("  {mark} {}{number}  {what}", pack_verify::span_text(&run));
            }
        }
    }
    Ok(if lost { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
