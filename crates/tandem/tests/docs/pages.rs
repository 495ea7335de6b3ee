//! The pages, and what of them can be run: `sh` blocks, each with what the comment before it says.

use std::fs;
use std::path::Path;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::rig::repository;
use crate::sessions::Scene;

/// What blocks may be in. Commands are in `sh` and nowhere else, so that none is overlooked.
const LANGUAGES: &[&str] = &["sh", "text", "yaml", "json", "go", "python", "dockerfile"];

/// A page of the documentation.
pub struct Page {
    /// Its path from the top of the repository.
    pub name: String,
    pub text: String,
}

/// A block of commands.
pub struct Block {
    page: String,
    /// Line of the first command.
    line: usize,
    text: String,
    pub fate: Fate,
}

/// What becomes of a block.
#[derive(Clone)]
pub enum Fate {
    Run {
        scene: Scene,
        /// What of its text stands for something else here.
        replaced: Vec<(String, String)>,
    },
    Not(String),
}

/// README.md, DESIGN.md, the page of the example, and everything below docs/.
pub fn all() -> Vec<Page> {
    let mut names = ["README.md", "DESIGN.md", "examples/shop/README.md"].map(str::to_owned).to_vec();
    add_pages("docs", &mut names);
    names.sort();
    let read = |name: String| Page { text: fs::read_to_string(repository().join(&name)).expect("a page"), name };
    names.into_iter().map(read).collect()
}

fn add_pages(folder: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(repository().join(folder)).expect("docs").flatten() {
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            add_pages(&name, names);
        } else if Path::new(&name).extension().is_some_and(|end| end == "md") {
            names.push(name);
        }
    }
}

/// Markdown as the site renders it.
pub fn parse(text: &str) -> impl Iterator<Item = (Event<'_>, std::ops::Range<usize>)> {
    Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter()
}

/// The fenced blocks of a language, each with its first line's number.
pub fn blocks_of(page: &str, language: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut is_wanted = false;
    for (event, range) in parse(page) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                is_wanted = matches!(kind, CodeBlockKind::Fenced(word) if &*word == language);
                if is_wanted {
                    blocks.push((line_of(page, range.start) + 1, String::new()));
                }
            }
            Event::Text(text) if is_wanted => {
                if let Some((_, block)) = blocks.last_mut() {
                    block.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => is_wanted = false,
            _ => {}
        }
    }
    blocks
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

impl Page {
    /// Its `sh` blocks in order.
    pub fn blocks(&self) -> Result<Vec<Block>, String> {
        let mut blocks = Vec::new();
        let (mut scene, mut marker, mut is_shell) = (Scene::Program, Marker::default(), false);
        for (event, range) in parse(&self.text) {
            match event {
                Event::Html(html) => {
                    let at = |problem| format!("{}:{}: {problem}", self.name, self.line_of(range.start));
                    if let Some(said) = Marker::read(&html).map_err(at)? {
                        scene = said.scene.unwrap_or(scene);
                        marker = said;
                    }
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(word))) if !LANGUAGES.contains(&&*word) => {
                    let place = format!("{}:{}", self.name, self.line_of(range.start));
                    return Err(format!(
                        "{place}: a block of {:?}: commands are in sh, all else in {LANGUAGES:?}",
                        &*word
                    ));
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    is_shell = matches!(kind, CodeBlockKind::Fenced(word) if &*word == "sh")
                }
                Event::Text(text) if is_shell => {
                    let said = std::mem::take(&mut marker);
                    let run = Fate::Run { scene, replaced: said.replaced };
                    let fate = said.reason.map_or(run, Fate::Not);
                    blocks.push(Block {
                        page: self.name.clone(),
                        line: self.line_of(range.start),
                        text: text.into_string(),
                        fate,
                    });
                }
                Event::End(TagEnd::CodeBlock) => is_shell = false,
                _ => {}
            }
        }
        Ok(blocks)
    }

    fn line_of(&self, offset: usize) -> usize {
        line_of(&self.text, offset)
    }
}

/// What a comment says of the block after it, and of the scene from there on.
#[derive(Default)]
struct Marker {
    scene: Option<Scene>,
    replaced: Vec<(String, String)>,
    reason: Option<String>,
}

impl Marker {
    /// Nothing of a comment that is about something else.
    fn read(html: &str) -> Result<Option<Self>, String> {
        let Some(words) = html.trim().strip_prefix("<!-- ").and_then(|html| html.strip_suffix(" -->")) else {
            return Ok(None);
        };
        if let Some(reason) = words.strip_prefix("not run: ") {
            return Ok(Some(Self { reason: Some(reason.to_owned()), ..Self::default() }));
        }
        let Some(words) = words.strip_prefix("run ") else { return Ok(None) };
        let mut marker = Self::default();
        for part in words.split("; ") {
            if let Some(name) = part.strip_prefix("in: ") {
                marker.scene = Some(Scene::named(name).ok_or_else(|| format!("there is no scene {name}"))?);
            } else if let Some(pairs) = part.strip_prefix("with: ") {
                for pair in pairs.split(", ") {
                    let (from, to) = pair.split_once(" = ").ok_or_else(|| format!("{pair}: write TEXT = VALUE"))?;
                    marker.replaced.push((from.to_owned(), to.to_owned()));
                }
            } else {
                return Err(format!("{part}: `in: SCENE` or `with: TEXT = VALUE`"));
            }
        }
        Ok(Some(marker))
    }
}

impl Block {
    /// `docs/agent.md:12`
    pub fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    /// Its commands as they are run; lines that end with a backslash go on.
    pub fn commands(&self) -> Vec<String> {
        let Fate::Run { replaced, .. } = &self.fate else { return Vec::new() };
        let mut text = self.text.clone();
        for (from, to) in replaced {
            text = text.replace(from, to);
        }
        let lines = text.replace("\\\n", " ");
        lines.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Texts that are replaced and are not there: the page has changed without its comment.
    pub fn vain(&self) -> Option<&str> {
        let Fate::Run { replaced, .. } = &self.fate else { return None };
        replaced.iter().map(|(from, _)| from.as_str()).find(|from| !self.text.contains(from))
    }
}
