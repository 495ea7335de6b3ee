//! go.mod and go.work as lines of text: what the weave reads from them, and copies of them that say more.
//! The user's files are never written.

use std::fs;
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
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let argument = match (in_block, line.strip_prefix(keyword).filter(|rest| rest.starts_with([' ', '\t', '(']))) {
            (true, _) if line == ")" => {
                in_block = false;
                continue;
            }
            (true, _) => line,
            (false, Some(rest)) if rest.trim() == "(" => {
                in_block = true;
                continue;
            }
            (false, Some(rest)) => rest.trim(),
            (false, None) => continue,
        };
        found.extend(argument.split_whitespace().next().map(|word| word.trim_matches(['"', '`']).to_owned()));
    }
    found
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
        let words: Vec<&str> = line.split_whitespace().collect();
        let words = words.strip_prefix(&["replace"]).unwrap_or(&words);
        let is_replaced = |(path, version, _): &Replacement| matches!(words, [own_path, own_version, "=>", ..] if own_path.trim_matches(['"', '`']) == path && own_version == version);
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
        let (code, comment) = line.split_once("//").map_or((line, None), |(code, comment)| (code, Some(comment)));
        let words: Vec<&str> = code.split_whitespace().collect();
        let arrow = words.iter().position(|word| *word == "=>");
        let absolute = |at: usize| {
            let path = words[at].trim_matches(['"', '`']);
            code.replacen(words[at], &quoted(&clean(&dir.join(path)).to_string_lossy()), 1)
        };
        let changed = match (words.as_slice(), arrow) {
            (["use", "("], _) => {
                in_use_block = true;
                code.to_owned()
            }
            ([")"], _) => {
                in_use_block = false;
                code.to_owned()
            }
            (["use", _], _) => absolute(1),
            ([_], _) if in_use_block => absolute(0),
            (_, Some(arrow)) if words.len() == arrow + 2 => {
                let path = words[arrow + 1].trim_matches(['"', '`']);
                let end = code.rfind(words[arrow + 1]).unwrap_or(code.len());
                format!("{}{}", &code[..end], quoted(&clean(&dir.join(path)).to_string_lossy()))
            }
            _ => code.to_owned(),
        };
        output.push_str(&changed);
        output.extend(comment.map(|comment| format!(" //{comment}")));
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
        let text = "go 1.22\nuse ./a // own\nuse (\n\t.\n\t../b\n)\nreplace x v1.0.0 => ./a\nreplace y => z v1.2.0\n";
        let output = with_absolute_paths(text, Path::new("/home/u"));
        assert_eq!(
            output,
            "go 1.22\nuse /home/u/a  // own\nuse (\n\t/home/u\n\t/home/b\n)\nreplace x v1.0.0 => /home/u/a\nreplace y => z v1.2.0\n"
        );
    }
}
