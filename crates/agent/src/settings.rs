//! `agent.yaml`: what an agent does with what passes through it.
//!
//! Each section's types lie in the module that does what the section says; here is how the file is read, and how its mistakes
//! are told: file, line, the key's path, and what was expected. `docs/agent.schema.json` is made from the same types.

pub mod values;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use crate::attributes::settings::{self as attributes, RuleSettings};
use crate::balance::BalanceSettings;
use crate::fold::Fold;
use crate::graph::ServiceGraph;
use crate::receive::settings::Receive;
use crate::regulate;
use crate::regulate::settings::{BudgetSettings, ObjectiveSettings};
use crate::sample::Sampling;

/// Longer files are no configuration, bytes.
const LONGEST: u64 = 1 << 20;

/// What the file says, as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tandem agent")]
pub struct Settings {
    /// OTLP from others.
    pub receive: Option<Receive>,
    /// Attributes that change on their way: rules, each of which sees what the former have left.
    #[serde(default)]
    #[schemars(with = "Vec<RuleSettings>")]
    pub attributes: Vec<Spanned<RuleSettings>>,
    /// Noise: short spans that are alike.
    #[serde(default)]
    pub fold: Fold,
    /// Who calls whom: metrics of pairs of services.
    #[serde(default)]
    pub service_graph: ServiceGraph,
    /// Which traces are kept.
    pub sampling: Option<Sampling>,
    /// Spans to several receivers of one name.
    pub balance: Option<BalanceSettings>,
    /// What observing may cost.
    pub budget: Option<BudgetSettings>,
    /// What requests are to be like: watched, and where they are not so, more is looked at.
    #[serde(default)]
    #[schemars(with = "Vec<ObjectiveSettings>")]
    pub objectives: Vec<Spanned<ObjectiveSettings>>,
}

impl Settings {
    /// Reads the file.
    pub fn read(file: &Path) -> Result<Self, SettingsError> {
        let unreadable = |source| SettingsError::Unreadable { file: file.to_owned(), source };
        if fs::metadata(file).map_err(unreadable)?.len() > LONGEST {
            return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB")));
        }
        let text = fs::read_to_string(file).map_err(unreadable)?;
        Self::parse(&text).map_err(|problem| problem.in_file(file, &text))
    }

    /// Reads its text.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        // A file of comments is an empty one.
        let settings = serde_saphyr::from_str::<Option<Self>>(text)
            .map_err(|error| Problem { text: plain(&error), at: error.location() })?;
        let settings = settings.unwrap_or_default();
        settings.receive.as_ref().map(Receive::listening).transpose()?;
        attributes::rules(&settings.attributes)?;
        if let Some(sampling) = &settings.sampling {
            sampling.policies()?;
        }
        settings.balance.as_ref().map(BalanceSettings::balance).transpose()?;
        settings.budget.as_ref().map(BudgetSettings::budget).transpose()?;
        regulate::settings::objectives(&settings.objectives)?;
        Ok(settings)
    }
}

/// The JSON schema of `agent.yaml`, for editors.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Settings).to_value()
}

/// Why `agent.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is not there, or not for us.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}:{line}: {}{problem}; docs/agent.md describes the file", file.display(), Key(key))]
    Wrong {
        /// The file.
        file: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// The path of the key that is meant; empty: none could be told.
        key: String,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
}

struct Key<'a>(&'a str);

impl fmt::Display for Key<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(formatter, "{}: ", self.0) }
    }
}

/// What is wrong in the file, and where.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Problem {
    /// A sentence fragment for people: what is wrong, and what was expected.
    pub text: String,
    /// Where; nothing is the start of the file.
    pub at: Option<Location>,
}

impl Problem {
    /// Something is wrong with this value.
    pub fn at<T>(value: &Spanned<T>, text: impl Into<String>) -> Self {
        Self { text: text.into(), at: Some(value.referenced) }
    }

    fn in_file(self, file: &Path, text: &str) -> SettingsError {
        let line = self.at.map_or(1, |at| at.line());
        SettingsError::Wrong { file: file.to_owned(), line, key: key_at(text, line as usize), problem: self.text }
    }
}

/// The error's own sentence, without the place and the source lines.
fn plain(error: &serde_saphyr::Error) -> String {
    let full = error.to_string();
    let first = full.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let sentence = first.strip_prefix("line ").and_then(|rest| rest.split_once(": ")).map_or(first, |(_, rest)| rest);
    sentence.to_owned()
}

/// The path of the key on a line: `a.b[2].c`. Read off the indentation, so that it is right for files in block style, which
/// these are; of `{a: 1, b: 2}` on one line it names what stands before.
fn key_at(text: &str, line: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut path: Vec<String> = Vec::new();
    // What belongs above stands further left; the key of a list may stand where its dashes do.
    let (mut limit, mut is_item) = (usize::MAX, false);
    for number in (0..line.min(lines.len())).rev() {
        let Some(mut content) = Content::of(lines[number]) else { continue };
        let is_key_of_list = is_item && content.indent == limit && content.item().is_none();
        if content.indent >= limit && !is_key_of_list {
            continue;
        }
        let (mut here, below) = (Vec::new(), if is_key_of_list { limit + 1 } else { limit });
        // A line may begin items of lists and name a key.
        while let Some(inner) = content.item().filter(|_| content.indent < below) {
            let above = lines[..number].iter().rev().map_while(|line| Content::before(line, content.indent));
            here.push(format!("[{}]", above.filter(|is_item| *is_item).count()));
            (limit, is_item) = (content.indent.min(limit), true);
            content = inner;
        }
        if content.indent < below
            && let Some(key) = content.key()
        {
            if here.is_empty() {
                (limit, is_item) = (content.indent, false);
            }
            here.push(key.to_owned());
        }
        path.extend(here.into_iter().rev());
        if limit == 0 && !is_item {
            break;
        }
    }
    path.reverse();
    path.iter().fold(String::new(), |mut whole, piece| {
        if !whole.is_empty() && !piece.starts_with('[') {
            whole.push('.');
        }
        whole + piece
    })
}

/// A line without its indentation; lines without content are none.
#[derive(Clone, Copy)]
struct Content<'a> {
    indent: usize,
    text: &'a str,
}

impl<'a> Content<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let text = line.trim_start();
        (!text.is_empty() && !text.starts_with('#')).then_some(Self { indent: line.len() - text.len(), text })
    }

    /// What stands behind the dash, where it is an item of a list.
    fn item(self) -> Option<Self> {
        let rest = self.text.strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with(' '))?;
        let text = rest.trim_start();
        Some(Self { indent: self.indent + self.text.len() - text.len(), text })
    }

    fn key(self) -> Option<&'a str> {
        let (key, rest) = self.text.split_once(':')?;
        let is_key = (rest.is_empty() || rest.starts_with(' ')) && !key.starts_with(['{', '[']);
        is_key.then(|| key.trim_matches(['"', '\'']))
    }

    /// Whether a line above is an item of the list whose dashes stand there; `None`: the list begins below it.
    fn before(line: &str, indent: usize) -> Option<bool> {
        let Some(content) = Content::of(line) else { return Some(false) };
        let is_item = content.item().is_some();
        (content.indent > indent || content.indent == indent && is_item).then_some(content.indent == indent && is_item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_key_is_read_off_its_line() {
        let text = "\
# of an agent
a:
  b: 1
  list:
    - name: first
      inner: {x: 1}

    # and
    - name: second
      deeper:
        - 1
        - 2
other:
- x: 1
- y:
    z: 3
- {x: 1, y: 2}
";
        for (line, key) in [
            (2, "a"),
            (3, "a.b"),
            (5, "a.list[0].name"),
            (6, "a.list[0].inner"),
            (9, "a.list[1].name"),
            (11, "a.list[1].deeper[0]"),
            (12, "a.list[1].deeper[1]"),
            (14, "other[0].x"),
            (16, "other[1].y.z"),
            (17, "other[2]"),
        ] {
            assert_eq!(key_at(text, line), key, "line {line}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("agent.yaml");
        let said = |text: &str| {
            fs::write(&file, text).expect("it can be written");
            Settings::read(&file).map(|_| ()).expect_err("it is wrong").to_string()
        };
        let name = file.display();
        assert!(said("\nsamplin: 1\n").starts_with(&format!("{name}:2: samplin: unknown field `samplin`")));
        assert!(said("- 1\n").starts_with(&format!("{name}:1: ")));
        assert!(
            said("balance:\n  resolve: 0s\n")
                .starts_with(&format!("{name}:2: balance.resolve: write 100ms to 60m, not 0ns"))
        );
        assert!(said("a: [\n").starts_with(&format!("{name}:")));
        fs::write(&file, "# nothing yet\n").expect("it can be written");
        Settings::read(&file).expect("nothing is wrong");
        let missing = Settings::read(&folder.path().join("none")).expect_err("there is none").to_string();
        assert!(missing.starts_with("cannot read ") && missing.contains("No such file"), "{missing}");
    }
}
