//! go.mod and go.work as lines of text: what the weave reads from them, and copies of them that say more.
//! The user's files are never written.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{WeaveError, at};

/// A `replace` line that the shadow adds: module path, version, folder.
pub type Replacement = (String, String, PathBuf);

/// The path in the `module` line.
pub fn module_path(go_mod: &str) -> String {
    first_words(go_mod, "module").into_iter().next().unwrap_or_default()
}

/// First words after `keyword` in go.mod or go.work, in its one-line and its block form.
pub fn first_words(text: &str, keyword: &str) -> Vec<String> {
    lines_of(text, keyword).into_iter().filter_map(|words| words.into_iter().next()).collect()
}

/// Modules that a folder replaces: path and folder, as it is written.
pub fn replaced_by_folders(text: &str) -> Vec<(String, String)> {
    let replacement = |words: Vec<String>| match words.iter().position(|word| word == "=>")? {
        arrow if arrow > 0 && words.len() == arrow + 2 => Some((words[0].clone(), words[arrow + 1].clone())),
        _ => None,
    };
    lines_of(text, "replace").into_iter().filter_map(replacement).collect()
}

/// The words after `keyword` in go.mod or go.work, line by line, in its one-line and its block form.
fn lines_of(text: &str, keyword: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        let mut words: Vec<String> = words(line).into_iter().map(|range| unquoted(&line[range])).collect();
        let is_ours = words.first().is_some_and(|first| first == keyword);
        match (in_block, is_ours) {
            (true, _) if words == [")"] => in_block = false,
            (false, true) if words.get(1).is_some_and(|word| word == "(") => in_block = true,
            (false, true) => found.push(words.split_off(1)),
            (true, _) if !words.is_empty() => found.push(words),
            _ => {}
        }
    }
    found
}

/// Where the words of a line stand; a quoted one may contain spaces, a comment is none.
fn words(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = line[at..].find(|c: char| !c.is_whitespace()).map(|start| at + start) {
        let rest = &line[start..];
        if rest.starts_with("//") {
            break;
        }
        let length = match rest.chars().next() {
            Some(quote @ ('"' | '`')) => rest[1..].find(quote).map_or(rest.len(), |end| end + 2),
            Some('(' | ')') => 1,
            _ => rest.find(|c: char| c.is_whitespace() || c == '(' || c == ')').unwrap_or(rest.len()),
        };
        at = start + length;
        found.push(start..at);
    }
    found
}

fn unquoted(word: &str) -> String {
    word.trim_matches(['"', '`']).to_owned()
}

/// Takes `.` and `..` out, without asking the disk.
pub fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                cleaned.pop();
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

/// Writes go.mod with more replacements, and go.sum, into a folder.
pub fn copy_module_file(module_file: &Path, to: &Path, replacements: &[Replacement]) -> Result<(), WeaveError> {
    let text = fs::read_to_string(module_file).map_err(at("read", module_file))?;
    write(&to.join("go.mod"), &with_replacements(&text, replacements))?;
    copy_if_there(&module_file.with_extension("sum"), &to.join("go.sum"))
}

/// Writes go.work with absolute paths and more replacements, and go.work.sum beside it.
pub fn copy_work_file(work_file: &Path, to: &Path, replacements: &[Replacement]) -> Result<(), WeaveError> {
    let text = fs::read_to_string(work_file).map_err(at("read", work_file))?;
    let dir = work_file.parent().unwrap_or(Path::new("/"));
    write(to, &with_replacements(&with_absolute_paths(&text, dir), replacements))?;
    copy_if_there(&work_file.with_extension("work.sum"), &to.with_extension("work.sum"))
}

fn write(path: &Path, text: &str) -> Result<(), WeaveError> {
    fs::write(path, text).map_err(at("write", path))
}

fn copy_if_there(from: &Path, to: &Path) -> Result<(), WeaveError> {
    match fs::read(from) {
        Ok(bytes) => fs::write(to, bytes).map_err(at("write", to)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at("read", from)(error)),
    }
}

/// The text with `replace path version => dir` for each replacement; the user's own line for the same path and version
/// goes, since two are an error and the replacement was made from what that line leads to.
fn with_replacements(text: &str, replacements: &[Replacement]) -> String {
    let mut output = String::with_capacity(text.len() + 100 * replacements.len());
    for line in text.lines() {
        let words: Vec<String> = words(line).into_iter().map(|range| unquoted(&line[range])).collect();
        let words = words.strip_prefix(&["replace".to_owned()]).unwrap_or(&words);
        let is_replaced = |(path, version, _): &Replacement| matches!(words, [own_path, own_version, arrow, ..] if own_path == path && own_version == version && arrow == "=>");
        if !replacements.iter().any(is_replaced) {
            output.push_str(line);
        }
        output.push('\n'); // a line taken out leaves its place: messages keep their line numbers
    }
    for (path, version, dir) in replacements {
        output.push_str(&format!("replace {path} {version} => {}\n", quoted(&dir.to_string_lossy())));
    }
    output
}

fn quoted(path: &str) -> String {
    if path.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '`' | '(' | ')' | ',')) {
        format!("{path:?}")
    } else {
        path.to_owned()
    }
}

fn with_absolute_paths(text: &str, dir: &Path) -> String {
    let mut output = String::with_capacity(text.len() + 200);
    let mut in_use_block = false;
    for line in text.lines() {
        let places = words(line);
        let words: Vec<&str> = places.iter().map(|range| &line[range.clone()]).collect();
        let folder = match (words.as_slice(), words.iter().position(|word| *word == "=>")) {
            (["use", "(", ..], _) => {
                in_use_block = true;
                None
            }
            ([")"], _) => {
                in_use_block = false;
                None
            }
            (["use", _], _) => Some(1),
            ([_], _) if in_use_block => Some(0),
            (_, Some(arrow)) if words.len() == arrow + 2 => Some(arrow + 1),
            _ => None,
        };
        match folder {
            Some(at) => {
                let absolute = quoted(&clean(&dir.join(unquoted(words[at]))).to_string_lossy());
                output.push_str(&line[..places[at].start]);
                output.push_str(&absolute);
                output.push_str(&line[places[at].end..]);
            }
            None => output.push_str(line),
        }
        output.push('\n');
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let text = "go 1.22 // x\nuse ./a\nuse (\n\t./b // c\n\t\"./d\"\n)\nreplace x => ./y\n";
        assert_eq!(first_words(text, "use"), ["./a", "./b", "./d"]);
        assert_eq!(first_words(text, "go"), ["1.22"]);
        assert_eq!(module_path("module example.com/x\n"), "example.com/x");
        let text = "replace x => ./y\nreplace(\n\ta v1.0.0 => \"../a folder\" // why\n\tb => c v1.0.0\n)\n";
        let folders = replaced_by_folders(text);
        assert_eq!(folders, [("x".into(), "./y".into()), ("a".into(), "../a folder".into())]);
    }

    #[test]
    fn a_replacement_takes_the_place_of_the_users_for_the_same_version() {
        let text = "module m\nreplace (\n\ta v1.0.0 => ../a\n\ta v1.1.0 => ../b\n)\nreplace a => ../c\n";
        let output = with_replacements(text, &[("a".into(), "v1.0.0".into(), "/s h".into())]);
        assert_eq!(
            output,
            "module m\nreplace (\n\n\ta v1.1.0 => ../b\n)\nreplace a => ../c\nreplace a v1.0.0 => \"/s h\"\n"
        );
    }

    #[test]
    fn a_work_file_can_lie_elsewhere() {
        let text =
            "go 1.22\nuse ./a // own\nuse (\n\t.\n\t\"../b c\"\n)\nreplace x v1.0.0 => ./a\nreplace y => z v1.2.0\n";
        let output = with_absolute_paths(text, Path::new("/home/u"));
        assert_eq!(
            output,
            "go 1.22\nuse /home/u/a // own\nuse (\n\t/home/u\n\t\"/home/b c\"\n)\nreplace x v1.0.0 => /home/u/a\nreplace y => z v1.2.0\n"
        );
    }
}
