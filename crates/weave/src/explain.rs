//! `tandem explain`: for every rule of every pack where it matched or why it did not, and the user's own spans.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::WeaveError;
use crate::go;
use crate::listing;
use crate::overlay::OwnSpan;
use crate::weave::{Outcome, RuleReport};

/// One line of the explanation.
#[derive(Debug, Serialize, Deserialize)]
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
    /// A function that `functions:` means.
    Function {
        /// Where it stands.
        place: String,
        /// Its name.
        name: String,
        /// Why it was left out; absent: it is woven dormant.
        #[serde(skip_serializing_if = "Option::is_none")]
        left_out: Option<String>,
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
    let packages = listing::packages(&command, arguments, &dir)?;
    let imported: BTreeSet<String> = packages.into_iter().map(|package| package.import_path).collect();
    let mut lines = Vec::new();
    for mut report in plan.mapping.reports {
        // What the woven packages import themselves is in every program: the runtime.
        let is_imported = imported.contains(&report.target) || report.target == "runtime";
        if !is_imported && !matches!(report.outcome, Outcome::NotUsed { .. }) {
            report.outcome = Outcome::NotUsed { reason: format!("{} is not imported by this program", report.target) };
        }
        lines.push(Line::Rule(report));
    }
    lines.extend(plan.mapping.spans.into_iter().map(|span| Line::Span { place: place(&span, &dir), name: span.name }));
    lines.extend(plan.functions.into_iter().map(|(path, function)| Line::Function {
        place: format!("{}:{}", path.display(), function.line),
        name: function.name,
        left_out: function.left_out,
    }));
    lines.extend(plan.warnings.into_iter().map(|text| Line::Warning { text }));
    Ok(lines)
}

/// As go prints its own places: relative to the working folder where it can be.
fn place(span: &OwnSpan, dir: &Path) -> String {
    format!("{}:{}", span.path.strip_prefix(dir).unwrap_or(&span.path).display(), span.line)
}

/// Why a build of these lines is not what it should be; empty when it is.
///
/// A hook is lost when its code is there but not as the hook knows it, and when it matched in `baseline` (what
/// `explain` said earlier, one JSON object a line) but neither matches now nor is merely not needed any more.
pub fn lost(lines: &[Line], baseline: Option<&Path>) -> Result<Vec<String>, WeaveError> {
    let outcomes: BTreeMap<&str, &Outcome> = lines.iter().filter_map(Line::rule).collect();
    let mut lost: BTreeMap<String, String> = BTreeMap::new();
    for (rule, outcome) in &outcomes {
        if let Outcome::NotFound { reason } = outcome {
            lost.insert((*rule).to_owned(), reason.clone());
        }
    }
    let before = baseline.map(read_baseline).transpose()?.unwrap_or_default();
    for (rule, outcome) in before.iter().filter_map(Line::rule) {
        let reason = match (outcome, outcomes.get(rule)) {
            (Outcome::Matched { .. }, Some(Outcome::OutOfRange { reason })) => reason.clone(),
            (Outcome::Matched { .. }, None) => "no pack has it any more".to_owned(),
            _ => continue,
        };
        lost.insert(rule.to_owned(), reason);
    }
    Ok(lost.into_iter().map(|(rule, reason)| format!("{rule}: {reason}")).collect())
}

fn read_baseline(path: &Path) -> Result<Vec<Line>, WeaveError> {
    let text = fs::read_to_string(path)
        .map_err(|source| WeaveError::Baseline { path: path.to_owned(), problem: source.to_string() })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|error| WeaveError::Baseline {
                path: path.to_owned(),
                problem: format!("line {} is not one of `tandem explain --json`: {error}", at + 1),
            })
        })
        .collect()
}

impl Line {
    fn rule(&self) -> Option<(&str, &Outcome)> {
        match self {
            Line::Rule(report) => Some((report.rule.as_str(), &report.outcome)),
            _ => None,
        }
    }

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
                let unknown = match report.unknown.as_slice() {
                    [] => String::new(),
                    places => format!("\n    the receiver's type is not known: {}", places.join(", ")),
                };
                format!("{mark} {}  {}\n    {what}{unknown}", report.rule, report.description)
            }
            Line::Span { place, name } => format!("+ span {name:?}\n    {place}"),
            Line::Function { place, name, left_out } => match left_out {
                None => format!("+ function {name}, dormant\n    {place}"),
                Some(reason) => format!("- function {name}, left out: {reason}\n    {place}"),
            },
            Line::Warning { text } => format!("! {text}"),
        }
    }
}
