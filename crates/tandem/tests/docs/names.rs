//! What pages name exists: commands and their flags, metrics, variables. And what of the last two is ours is named somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use pulldown_cmark::{CodeBlockKind, Event, Tag};

use crate::pages::{Page, parse};
use crate::rig::repository;

/// Flags of other programs that pages name by themselves.
const OF_OTHERS: &[&str] = &["--sandbox_add_mount_pair"];
/// What tandem says, which is no command.
const SAYINGS: &[&str] = &["tandem weaves Go"];
/// Names that no source has as they are: one that a page makes up, and one that the sources put together.
const EXCEPTIONS: &[&str] = &["tandem_gin", "OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS"];
/// What is put into a variable's name where it is meant for one signal.
const SIGNALS: &[&str] = &["_TRACES_", "_METRICS_", "_LOGS_", "_PROFILES_"];
/// Variables that only the tests and the build of Tandem know.
const OF_TESTS: &[&str] = &["TANDEM_COMMIT", "TANDEM_GENERATE"];

/// `tandem COMMAND --flag`, in code of any page, against the pages that are made of the commands themselves.
pub fn unknown_flags(pages: &[Page]) -> Vec<String> {
    let of = |page: &Page| {
        Some((page.name.strip_prefix("docs/commands/")?.strip_suffix(".md")?.to_owned(), words(&page.text)))
    };
    let known: BTreeMap<String, BTreeSet<String>> = pages.iter().filter_map(of).collect();
    let mut problems = Vec::new();
    for page in pages {
        for code in codes(&page.text) {
            if let Some(problem) = wrong_use(&code, &known) {
                problems.push(format!("{}: `{code}`: {problem}", page.name));
            }
        }
    }
    problems
}

fn wrong_use(code: &str, known: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let mut words = code.split([' ', '\n']).filter(|word| !word.is_empty());
    let first = words.find(|word| *word != "sudo" && !word.contains('='))?;
    if let Some(flag) = flag(first) {
        let is_known = OF_OTHERS.contains(&flag) || known.values().any(|flags| flags.contains(flag));
        return (!is_known).then(|| format!("no command has {flag}"));
    }
    if first != "tandem" || SAYINGS.iter().any(|saying| code.starts_with(saying)) {
        return None;
    }
    let command = words.next().filter(|word| word.starts_with(|letter: char| letter.is_ascii_lowercase()))?;
    let Some(flags) = known.get(command) else { return Some(format!("there is no command {command}")) };
    if command == "go" {
        return None;
    }
    let own = words.take_while(|word| !matches!(*word, "--" | "|" | ">" | "&&" | ";" | "#"));
    own.filter_map(flag).find(|flag| !flags.contains(*flag)).map(|flag| format!("tandem {command} has no {flag}"))
}

/// `--limit` of `--limit=100`.
fn flag(word: &str) -> Option<&str> {
    let name = word.strip_prefix("--").filter(|name| name.starts_with(|letter: char| letter.is_ascii_lowercase()))?;
    let length =
        name.find(|letter: char| !(letter.is_ascii_lowercase() || matches!(letter, '-' | '_'))).unwrap_or(name.len());
    Some(&word[.."--".len() + length])
}

/// The flags that a command's page names.
fn words(page: &str) -> BTreeSet<String> {
    page.split(['`', ' ', '\n', '[', '|']).filter_map(flag).chain(["--help"]).map(str::to_owned).collect()
}

/// Code in the text of a page, and the lines of its sessions.
pub fn codes(page: &str) -> Vec<String> {
    let mut codes = Vec::new();
    let mut is_shell = false;
    for (event, _) in parse(page) {
        match event {
            Event::Code(code) => codes.push(code.into_string()),
            Event::Start(Tag::CodeBlock(kind)) => {
                is_shell = matches!(kind, CodeBlockKind::Fenced(word) if &*word == "sh")
            }
            Event::Text(text) if is_shell => codes.extend(text.replace("\\\n", " ").lines().map(str::to_owned)),
            Event::End(_) => is_shell = false,
            _ => {}
        }
    }
    codes
}

pub fn unknown_metrics(pages: &[Page]) -> Vec<String> {
    unknown(pages, "tandem_", |letter| letter.is_ascii_lowercase() || letter == '_')
}

pub fn unknown_variables(pages: &[Page]) -> Vec<String> {
    let letters = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    ["TANDEM_", "OTEL_"].into_iter().flat_map(|prefix| unknown(pages, prefix, letters)).collect()
}

/// Names with this prefix that no source has. A name that ends with `_` (or with `_X`) stands for all that begin so.
fn unknown(pages: &[Page], prefix: &str, letters: fn(char) -> bool) -> Vec<String> {
    let sources = sources(&["crates", "go", "packs", "scripts", "deploy", "examples", "Makefile"]);
    let known = names(&sources, prefix, letters);
    let is_known =
        |name: &str| known.contains(name) || name.ends_with('_') && known.iter().any(|one| one.starts_with(name));
    let exists = |name: &str| {
        let beginning = if name.ends_with("_X") { &name[..name.len() - 1] } else { name };
        let mut of_all_signals = SIGNALS.iter().map(|signal| beginning.replacen(signal, "_", 1));
        is_known(beginning) || of_all_signals.any(|name| is_known(&name)) || EXCEPTIONS.contains(&name)
    };
    let mut problems = Vec::new();
    for page in pages {
        let named = names(&page.text, prefix, letters);
        problems.extend(
            named.iter().filter(|name| !exists(name)).map(|name| format!("{}: nothing is called {name}", page.name)),
        );
    }
    problems
}

/// Metrics of the agent's own of which no page says what they are.
pub fn metrics_without_words(pages: &[Page]) -> Vec<String> {
    without_words(pages, &sources(&["crates/agent/src", "crates/deliver/src"]), "\"tandem_", |letter| {
        letter.is_ascii_lowercase() || letter == '_'
    })
}

/// Variables that programs and commands read, and no page describes.
pub fn variables_without_words(pages: &[Page]) -> Vec<String> {
    let read = sources(&[
        "crates/agent/src",
        "crates/deliver/src",
        "crates/store/src",
        "crates/tandem/src",
        "crates/weave/src",
        "go",
    ]);
    without_words(pages, &read, "\"TANDEM_", |letter| letter.is_ascii_uppercase() || letter == '_')
}

fn without_words(pages: &[Page], sources: &str, prefix: &str, letters: fn(char) -> bool) -> Vec<String> {
    let described: String = pages.iter().map(|page| page.text.as_str()).collect();
    let is_missing = |name: &String| !OF_TESTS.contains(&name.as_str()) && !described.contains(name.as_str());
    let ours = names(sources, prefix, letters).into_iter().map(|name| name.trim_start_matches('"').to_owned());
    ours.filter(is_missing).map(|name| format!("no page says what {name} is")).collect()
}

/// All names that begin with a prefix.
fn names(text: &str, prefix: &str, letters: fn(char) -> bool) -> BTreeSet<String> {
    let begins = text.match_indices(prefix).filter(|(at, _)| !text[..*at].ends_with(letters));
    let whole = |(at, _): (usize, &str)| {
        let rest = &text[at + prefix.len()..];
        let length = rest.find(|letter| !letters(letter)).unwrap_or(rest.len());
        text[at..at + prefix.len() + length].to_owned()
    };
    begins.map(whole).collect()
}

/// The texts of all sources in folders of the repository, but those of this suite.
pub fn sources(places: &[&str]) -> String {
    let mut text = String::new();
    places.iter().for_each(|place| add(&repository().join(place), &mut text));
    text
}

fn add(path: &Path, text: &mut String) {
    let name = path.file_name().unwrap_or_default();
    if path.is_file() {
        text.push_str(&fs::read_to_string(path).unwrap_or_default());
        text.push('\n');
    } else if !(name == "target" || name == "node_modules" || path.ends_with("tests/docs")) {
        let mut entries: Vec<_> =
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| add(entry, text));
    }
}
