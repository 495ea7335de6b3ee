//! Links lead to files and headings that are there, and every page is in the navigation.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Tag, TagEnd};

use crate::pages::{Page, parse};
use crate::rig::repository;

pub fn broken(pages: &[Page]) -> Vec<String> {
    let mut known: HashMap<PathBuf, HashSet<String>> = HashMap::new();
    let mut problems = Vec::new();
    for page in pages {
        for target in links(&page.text) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let name = if file.is_empty() { PathBuf::from(&page.name) } else { joined(&page.name, file) };
            let path = repository().join(&name);
            if !path.exists() {
                problems.push(format!("{}: {target}: no such file", page.name));
            } else if !anchor.is_empty() && path.is_file() {
                let headings =
                    known.entry(name).or_insert_with(|| anchors(&std::fs::read_to_string(&path).expect("a text")));
                if !headings.contains(anchor) {
                    problems.push(format!("{}: {target}: no such heading", page.name));
                }
            }
        }
    }
    problems
}

/// Pages that nobody finds. Those of packs and commands are listed by their README.
pub fn not_in_the_navigation(pages: &[Page]) -> Vec<String> {
    let summary = pages.iter().find(|page| page.name == "docs/SUMMARY.md").expect("docs/SUMMARY.md");
    let named: HashSet<PathBuf> = links(&summary.text).iter().map(|target| joined(&summary.name, target)).collect();
    let is_listed = |page: &&Page| {
        let folder = Path::new(&page.name).parent();
        let is_made = folder != Some(Path::new("docs"));
        is_made || page.name == summary.name || named.contains(Path::new(&page.name))
    };
    pages
        .iter()
        .filter(|page| !is_listed(page))
        .map(|page| format!("{} is not in docs/SUMMARY.md", page.name))
        .collect()
}

/// Where a page's relative links lead.
fn links(text: &str) -> Vec<String> {
    let is_inside = |target: &String| !target.contains("://") && !target.starts_with("mailto:");
    let target = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.into_string()),
        _ => None,
    };
    parse(text).filter_map(|(event, _)| target(event)).filter(is_inside).collect()
}

/// A link's target from the top of the repository.
fn joined(page: &str, target: &str) -> PathBuf {
    let mut path = Path::new(page).parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// The names of a page's headings, as the site and code hosts make them.
fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    let mut heading: Option<String> = None;
    for (event, _) in parse(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let name = slug(&heading.take().unwrap_or_default());
                let again = (1..).map(|number| format!("{name}-{number}"));
                let free = std::iter::once(name.clone()).chain(again).find(|name| !anchors.contains(name));
                anchors.extend(free);
            }
            _ => {}
        }
    }
    anchors
}

fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' '));
    kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}
