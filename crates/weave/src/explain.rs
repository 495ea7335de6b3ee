//! `tandem explain`: for every rule of every pack where it matched or why it did not, and the user's own spans.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::error::WeaveError;
use crate::go;
use crate::weave::{Outcome, RuleReport};

/// One line of the explanation.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// A rule of a pack.
    Rule(RuleReport),
    /// A function that a directive makes a span.
    Span {
        /// Where it stands.
        place: String,
        /// The span's name.
        name: String,
    },
    /// Something that is wrong and does not stop a build.
    Warning {
        /// One line.
        text: String,
    },
}

/// Explains the build of `arguments` (flags of `go build`, packages).
pub fn explain(arguments: &[OsString]) -> Result<Vec<Line>, WeaveError> {
    let command = go::find_go()?;
    let build: Vec<OsString> = std::iter::once("build".into()).chain(arguments.iter().cloned()).collect();
    let (plan, _, dir) = go::plan(&command, &build)?;
    let imported = imported_packages(&command, arguments, &dir)?;
    let mut lines = Vec::new();
    for mut report in plan.mapping.reports {
        // What the woven packages import themselves is in every program: the runtime.
        let is_imported = imported.contains(&report.target) || report.target == "runtime";
        if !is_imported && !matches!(report.outcome, Outcome::NotUsed { .. }) {
            report.outcome = Outcome::NotUsed { reason: format!("{} is not imported by this program", report.target) };
        }
        lines.push(Line::Rule(report));
    }
    lines.extend(
        plan.mapping
            .spans
            .into_iter()
            .map(|span| Line::Span { place: format!("{}:{}", span.path.display(), span.line), name: span.name }),
    );
    lines.extend(plan.warnings.into_iter().map(|text| Line::Warning { text }));
    Ok(lines)
}

fn imported_packages(go: &Path, arguments: &[OsString], dir: &Path) -> Result<BTreeSet<String>, WeaveError> {
    let broken = |problem: String| WeaveError::GoBroken { command: format!("{} list", go.display()), problem };
    let mut command = Command::new(go);
    let flags_and_packages = match arguments.first() {
        Some(first) if first.as_encoded_bytes().starts_with(b"-C") => {
            let words = if first == "-C" { 2 } else { 1 };
            &arguments[words.min(arguments.len())..]
        }
        _ => arguments,
    };
    command.args(["list", "-deps", "-e", "-f", "{{.ImportPath}}"]).args(flags_and_packages).current_dir(dir);
    let output = command.output().map_err(|error| broken(error.to_string()))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        return Err(WeaveError::GoRefused { message, code: output.status.code().unwrap_or(1) as u8 });
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

impl Line {
    /// For people: one or two lines of text.
    pub fn text(&self) -> String {
        match self {
            Line::Rule(report) => {
                let (mark, what) = match &report.outcome {
                    Outcome::Matched { places } => ("+", places.join(", ")),
                    Outcome::NotUsed { reason } => (" ", reason.clone()),
                    Outcome::OutOfRange { reason } => ("-", reason.clone()),
                    Outcome::NotFound { reason } => ("!", reason.clone()),
                };
                format!("{mark} {}  {}\n    {what}", report.rule, report.description)
            }
            Line::Span { place, name } => format!("+ span {name:?}\n    {place}"),
            Line::Warning { text } => format!("! {text}"),
        }
    }
}
