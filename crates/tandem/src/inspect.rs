//! `tandem inspect`: what was woven into a program, from its file.
//!
//! Exit codes: 0 woven, 1 built by go and not woven, 3 cannot be told (no such file, no Go program, damaged).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use gobin::manifest::{Functions, JoinPoint, Left, Manifest, Pack};
use gobin::{BuildInformation, Executable, Format};
use serde_json::{Value, json};

use crate::terminal::{self, BOLD, DIM, Layout, NOTICE, clean, wrap};

/// Say what was woven into a program, from its file.
///
/// docs/manifest.md describes what is read.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Inspect {
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Show where each join point lies.
    #[arg(long, short)]
    verbose: bool,
    /// The program's file.
    #[arg(value_name = "BINARY")]
    binary: PathBuf,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem inspect shop             # packs, rules, who owns which library
  tandem inspect --verbose shop   # and where each join point lies
  tandem inspect --json shop      # docs/manifest.md has the form

Exit codes: 0 the program is woven, 1 it is a Go program that is not, 3 it cannot be told.";

impl Inspect {
    pub fn run(self) -> ExitCode {
        let unknown = |problem: &dyn std::fmt::Display| {
            eprintln!("tandem: {problem}");
            ExitCode::from(3)
        };
        let executable = match Executable::read(&self.binary) {
            Ok(executable) => executable,
            Err(error) => return unknown(&error),
        };
        let manifest = match executable.build.manifest() {
            Ok(manifest) => manifest,
            Err(error) => return unknown(&format!("{} is woven, but {error}", self.binary.display())),
        };
        terminal::report(|out| {
            if self.json {
                writeln!(out, "{}", as_json(&self.binary, &executable, manifest.as_ref()))?;
            } else {
                self.print(out, &executable, manifest.as_ref())?;
            }
            Ok(if manifest.is_some() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        })
    }

    fn print(&self, out: &mut dyn Write, executable: &Executable, manifest: Option<&Manifest>) -> anyhow::Result<()> {
        let layout = Layout::of_stdout();
        let build = &executable.build;
        let name = self.binary.display().to_string();
        let machine = format!(
            "{}/{} {}",
            build.setting("GOOS").unwrap_or("?"),
            build.setting("GOARCH").unwrap_or("?"),
            format_name(executable.format)
        );
        let mut head = format!("{}, {machine}", build.go_version);
        if !build.path.is_empty() {
            head = format!("{} {}, {head}", build.path, main_version(build));
        }
        writeln!(out, "{}", layout.paint(BOLD, clean(&name)))?;
        writeln!(out, "{}", clean(&head))?;
        let Some(manifest) = manifest else {
            writeln!(out, "{}", layout.paint(NOTICE, "not woven"))?;
            return Ok(());
        };
        writeln!(out, "woven by tandem {} (weave {})", clean(&manifest.tandem), clean(&manifest.weave))?;
        for pack in &manifest.packs {
            self.print_pack(out, layout, build, pack)?;
        }
        if !manifest.spans.is_empty() {
            writeln!(out, "\n{}  {}", layout.paint(BOLD, "//tandem:span"), layout.paint(DIM, "owned by the program"))?;
            for span in &manifest.spans {
                writeln!(out, "  + {}  {}", clean(&span.name), layout.paint(DIM, clean(&span.place)))?;
            }
        }
        if !manifest.functions.is_empty() {
            writeln!(
                out,
                "\n{}  {}",
                layout.paint(BOLD, "functions"),
                layout.paint(DIM, "dormant until tandem enable")
            )?;
            for Functions { package, count } in &manifest.functions {
                writeln!(out, "  {count:>6}  {}", clean(package))?;
            }
        }
        Ok(())
    }

    fn print_pack(
        &self,
        out: &mut dyn Write,
        layout: Layout,
        build: &BuildInformation,
        pack: &Pack,
    ) -> anyhow::Result<()> {
        let title = format!("{} {}", pack.name, pack_version(build, pack));
        let owner = match owner(pack) {
            "program" => "owned by the program",
            _ => "left to the agent",
        };
        writeln!(out, "\n{}  {}", layout.paint(BOLD, clean(&title)), layout.paint(DIM, owner))?;
        for JoinPoint { id, package, places } in &pack.join_points {
            let inside = if *package == pack.name { String::new() } else { format!(" in {package}") };
            writeln!(out, "  + {}{}", clean(id), clean(&inside))?;
            let places = if self.verbose { wrap(&clean(&places.join(" ")), layout.columns - 6) } else { Vec::new() };
            for line in places {
                writeln!(out, "      {}", layout.paint(DIM, line))?;
            }
        }
        for Left { id, reason, .. } in &pack.left {
            writeln!(out, "  - {}  {}", clean(id), layout.paint(DIM, clean(reason)))?;
        }
        Ok(())
    }
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Elf => "ELF",
        Format::MachO => "Mach-O",
        Format::Pe => "PE",
    }
}

fn main_version(build: &BuildInformation) -> &str {
    build.main.as_ref().map_or("", |main| main.version.as_str())
}

/// Who observes the library in this program.
fn owner(pack: &Pack) -> &'static str {
    if pack.join_points.is_empty() { "agent" } else { "program" }
}

/// Of the module that the pack is for; Go's for the standard library.
fn pack_version<'a>(build: &'a BuildInformation, pack: &Pack) -> &'a str {
    let mut packages =
        pack.join_points.iter().map(|point| &point.package).chain(pack.left.iter().map(|left| &left.package));
    let module = packages.find_map(|package| build.module_of(package));
    module.map_or(build.go_version.as_str(), |module| module.effective().version.as_str())
}

fn as_json(path: &Path, executable: &Executable, manifest: Option<&Manifest>) -> Value {
    let build = &executable.build;
    let packs = manifest.map(|manifest| {
        let described = manifest.packs.iter().map(|pack| {
            let mut value = json!(pack);
            value["version"] = json!(pack_version(build, pack));
            value["owner"] = json!(owner(pack));
            value
        });
        described.collect::<Vec<Value>>()
    });
    json!({
        "file": path.to_string_lossy(),
        "format": format_name(executable.format),
        "go": build.go_version,
        "os": build.setting("GOOS"),
        "architecture": build.setting("GOARCH"),
        "path": build.path,
        "version": main_version(build),
        "woven": manifest.is_some(),
        "tandem": manifest.map(|manifest| &manifest.tandem),
        "weave": manifest.map(|manifest| &manifest.weave),
        "packs": packs,
        "spans": manifest.map(|manifest| &manifest.spans),
        "functions": manifest.map(|manifest| &manifest.functions),
    })
}
