//! A page for each pack (`docs/packs/PACK.md`) and their list, made of what the packs themselves say: `pack.yaml`, `versions.md` and
//! the snapshot of the program. `make pack-pages` writes them, this test says where they are old.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Failed;
use weave::condition::Kind;
use weave::pack::{Pack, Rule, Spans};

use crate::rig::repository;
use crate::snapshot;

/// Lines of the example.
const EXAMPLE_LINES: usize = 40;

/// Compares the pages with what they should be, or writes them.
pub fn up_to_date() -> Result<(), Failed> {
    let folder = repository().join("docs/packs");
    let pages = pages()?;
    if std::env::var_os("TANDEM_GENERATE").is_some() {
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        for old in files(&folder).into_iter().filter(|path| !pages.contains_key(path)) {
            fs::remove_file(old).map_err(|error| error.to_string())?;
        }
        for (path, text) in &pages {
            fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        return Ok(());
    }
    let is_old = |(path, text): &(&PathBuf, &String)| fs::read_to_string(path).ok().as_ref() != Some(text);
    let mut wrong: Vec<String> = pages.iter().filter(is_old).map(|(path, _)| path.display().to_string()).collect();
    wrong
        .extend(files(&folder).iter().filter(|path| !pages.contains_key(*path)).map(|path| path.display().to_string()));
    if wrong.is_empty() { Ok(()) } else { Err(format!("make pack-pages would change {}", wrong.join(", ")).into()) }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn pages() -> Result<BTreeMap<PathBuf, String>, Failed> {
    let folder = repository().join("docs/packs");
    let mut packs: Vec<(String, Pack)> = Vec::new();
    for entry in fs::read_dir(repository().join("packs")).expect("the packs").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        packs.push((name, Pack::load(&entry.path()).map_err(|error| error.to_string())?));
    }
    packs.sort_by(|one, other| one.0.cmp(&other.0));
    let mut index = "# The packs\n\nMade by `make pack-pages` from the packs themselves. How packs work, and how to write one: [packs.md](../packs.md), \
                     [writing-packs.md](../writing-packs.md).\n\n| pack | library | what it gives |\n|---|---|---|\n"
        .to_owned();
    let mut pages = BTreeMap::new();
    for (name, pack) in &packs {
        let _ = writeln!(index, "| [{}]({name}.md) | {} | {} |", pack.name, library(pack), pack.description);
        pages.insert(folder.join(format!("{name}.md")), page(name, pack));
    }
    pages.insert(folder.join("README.md"), index);
    Ok(pages)
}

fn library(pack: &Pack) -> String {
    let is_standard = pack.rules.iter().all(|rule| weave::goroot::is_standard(&rule.target));
    match &pack.module {
        Some(module) => format!("`{module}`"),
        None if is_standard => "Go's own packages".to_owned(),
        None => "your own packages".to_owned(),
    }
}

fn page(name: &str, pack: &Pack) -> String {
    let mut page = format!("# {}\n\n{} Edits {}.\n", pack.name, sentence(&pack.description), library(pack));
    if repository().join("packs").join(name).join("README.md").exists() {
        let _ = write!(page, "\nWhat may surprise: [packs/{name}/README.md](../../packs/{name}/README.md).\n");
    }
    if !pack.spans.is_empty() {
        page += "\n## What it makes\n";
        pack.spans.iter().for_each(|spans| page += &promise(spans));
    }
    page += "\n## Join points\n\n| rule | what it gives | package | for | where |\n|---|---|---|---|---|\n";
    pack.rules.iter().for_each(|rule| page += &join_point(rule));
    if let Ok(versions) = fs::read_to_string(repository().join("packs").join(name).join("versions.md")) {
        let (_, table) = versions.split_once('\n').unwrap_or_default();
        let _ = write!(page, "\n## Versions\n\n{}\n", table.trim());
    }
    if let Some(tree) = snapshot(name) {
        let _ = write!(
            page,
            "\n## An example\n\nOf what its program (`packs/{name}/program`) leaves:\n\n```text\n{}```\n",
            example(&tree)
        );
    }
    page
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}{}", letters.as_str(), if text.ends_with('.') { "" } else { "." })
}

fn promise(spans: &Spans) -> String {
    let description = if spans.description.is_empty() { String::new() } else { format!(": {}", spans.description) };
    let mut text = format!("\n**{} spans** of the scope `{}`{description}", spans.kind, spans.scope);
    if spans.off {
        text += " (off by default)";
    }
    text += "\n\n";
    let keys = |keys: &[String]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    for (what, list) in
        [("operations", &spans.operations), ("always", &spans.always), ("where it applies", &spans.sometimes)]
    {
        if !list.is_empty() {
            let _ = writeln!(text, "* {what}: {}", keys(list));
        }
    }
    text
}

fn join_point(rule: &Rule) -> String {
    let version = rule.version.as_ref().map(ToString::to_string);
    let go = rule.go.as_ref().map(|range| format!("Go {range}"));
    let ranges: Vec<String> = version.into_iter().chain(go).collect();
    let range = if ranges.is_empty() { "all versions".to_owned() } else { ranges.join("; ") };
    let mut places: Vec<String> = Vec::new();
    for edit in &rule.edits {
        let every = if edit.place.condition.names_its_place() || edit.place.kind == Kind::File { "" } else { "every " };
        let place = format!("{every}`{}`", edit.place.condition).replace('|', "\\|");
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let off = if rule.off { " (off by default)" } else { "" };
    let (id, places) = (&rule.id, places.join(", "));
    format!("| `{id}` | {}{off} | `{}` | {range} | {places} |\n", rule.description, rule.target)
}

/// The first traces, whole where they fit.
fn example(tree: &str) -> String {
    let mut text = String::new();
    let mut lines = 0;
    let mut traces: Vec<Vec<&str>> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        match traces.last_mut() {
            Some(trace) if line.starts_with(' ') => trace.push(line),
            _ => traces.push(vec![line]),
        }
    }
    for trace in traces {
        if lines > 0 && lines + trace.len() > EXAMPLE_LINES {
            break;
        }
        lines += trace.len();
        for line in trace.iter().take(EXAMPLE_LINES) {
            let _ = writeln!(text, "{line}");
        }
        if trace.len() > EXAMPLE_LINES {
            text += "…\n";
        }
    }
    text
}
