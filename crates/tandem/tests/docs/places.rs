//! Files, targets of make and tests that pages name are there.

use std::collections::BTreeSet;
use std::fs;

use crate::names::{codes, sources};
use crate::pages::Page;
use crate::rig::repository;

/// Top folders of the repository: code that begins with one is a path.
const FOLDERS: &[&str] =
    &["bench/", "compat/", "crates/", "deploy/", "docs/", "examples/", "go/", "packs/", "scripts/", "tests/", "web/"];

/// Paths that are not there. Those with a placeholder (`PACK`, `*`, `…`) are left out.
pub fn missing_files(pages: &[Page]) -> Vec<String> {
    let mut problems = Vec::new();
    for page in pages {
        let is_path = |code: &String| {
            FOLDERS.iter().any(|folder| code.starts_with(folder)) && !code.contains([' ', '*', '…', '<', ':'])
        };
        for code in codes(&page.text).into_iter().filter(is_path) {
            let lost = expanded(&code)
                .into_iter()
                .filter(|path| !path.contains(|letter: char| letter.is_ascii_uppercase()) || path.ends_with(".md"));
            let lost = lost.filter(|path| !repository().join(path).exists());
            problems.extend(lost.map(|path| format!("{}: there is no {path}", page.name)));
        }
    }
    problems
}

/// `a/{b,c/}.rs` is `a/b.rs` and `a/c/`.
fn expanded(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let Some((choices, after)) = rest.split_once('}') else { return vec![path.to_owned()] };
    let whole = |choice: &str| {
        if choice.ends_with('/') { format!("{before}{choice}") } else { format!("{before}{choice}{after}") }
    };
    choices.split(',').flat_map(|choice| expanded(&whole(choice))).collect()
}

/// `make TARGET` of which the Makefile knows nothing.
pub fn unknown_targets(pages: &[Page]) -> Vec<String> {
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("the Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(": ## ").or(line.split_once(": ")).map(|(name, _)| name))
        .collect();
    let mut problems = Vec::new();
    for page in pages {
        for code in codes(&page.text) {
            let mut words = code.split([' ', ';', '\n']).skip_while(|word| word.contains('='));
            let target = (words.next() == Some("make")).then(|| words.find(|word| !word.contains('='))).flatten();
            let target = target.filter(|target| target.starts_with(|letter: char| letter.is_ascii_lowercase()));
            if let Some(target) = target.filter(|target| !targets.contains(target)) {
                problems.push(format!("{}: `{code}`: there is no target {target}", page.name));
            }
        }
    }
    problems
}

/// Tests by name (`e2e safety::nobody_sees_another_users_spans`) that nobody has written.
pub fn unknown_tests(pages: &[Page]) -> Vec<String> {
    let sources = sources(&["crates"]);
    let mut problems = Vec::new();
    for page in pages {
        for code in codes(&page.text).into_iter().filter(|code| !code.contains(['(', '/', '"'])) {
            let name = code.rsplit_once("::").map_or(code.trim_start_matches('…'), |(_, name)| name);
            let is_snake = name.contains('_')
                && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_' || letter.is_ascii_digit());
            let is_test = is_snake && (code.contains("::") || code.starts_with('…') && name.matches('_').count() > 2);
            if is_test && !sources.contains(&format!("fn {name}")) && !sources.contains(&format!("mod {name}")) {
                problems.push(format!("{}: `{code}`: there is no such test", page.name));
            }
        }
    }
    problems
}
