//! `go build -cover` and `go test -cover` of woven files.
//!
//! The real tool runs on the *plain* files, so blocks, counts and names are those of a plain build. Its output is the
//! plain text with counters put in between; our edits are then put into that, at the places that correspond.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::goroot::Description;
use crate::plan::Mapping;
use crate::splice::{self, Edit};
use crate::tool::Expanded;
use crate::weave;

/// What an input file of the tool is to us.
enum Input {
    /// Not woven.
    Plain,
    /// Woven from this file by these edits.
    Woven { plain: PathBuf, edits: Vec<Edit> },
    /// Ours: not covered.
    Added { text: PathBuf },
}

/// Runs the tool.
pub fn run(
    real: &Path,
    arguments: &[OsString],
    shadow_root: &Path,
    description: &Description,
    mapping: Option<&Mapping>,
) -> io::Result<ExitCode> {
    let mut expanded = Expanded::read(arguments.to_vec())?;
    let first_input = expanded
        .words
        .iter()
        .position(|word| word.as_encoded_bytes().ends_with(b".go"))
        .unwrap_or(expanded.words.len());
    let list_at =
        expanded.words.iter().position(|word| word == "-outfilelist").map(|at| at + 1).filter(|at| *at < first_input);
    let variable =
        expanded.words.iter().position(|word| word == "-var").and_then(|at| expanded.words.get(at + 1)).cloned();
    let (Some(list_at), Some(variable)) = (list_at, variable) else {
        return code(Command::new(real).args(arguments).status()?); // `go tool cover -html` and its like
    };
    let list = PathBuf::from(&expanded.words[list_at]);
    let outputs: Vec<PathBuf> = fs::read_to_string(&list)?.lines().map(PathBuf::from).collect();
    let inputs: Vec<PathBuf> = expanded.words[first_input..].iter().map(PathBuf::from).collect();
    let Some((variables_file, outputs)) = outputs.split_first().filter(|(_, outputs)| outputs.len() == inputs.len())
    else {
        return code(Command::new(real).args(arguments).status()?);
    };

    let mut covered: Vec<(PathBuf, &PathBuf, Vec<Edit>)> = Vec::new();
    for (input, output) in inputs.iter().zip(outputs) {
        match classify(input, shadow_root, description, mapping) {
            Input::Plain => covered.push((input.clone(), output, Vec::new())),
            Input::Woven { plain, edits } => covered.push((plain, output, edits)),
            Input::Added { text } => drop(fs::copy(text, output)?),
        }
    }
    let new_list: String = std::iter::once(variables_file)
        .chain(covered.iter().map(|(_, output, _)| *output))
        .map(|path| format!("{}\n", path.display()))
        .collect();
    let new_list_file = list.with_extension("tandem.txt");
    fs::write(&new_list_file, new_list.trim_end())?;
    expanded.words[list_at] = new_list_file.into_os_string();
    expanded.words.truncate(first_input);
    expanded.words.extend(covered.iter().map(|(input, _, _)| input.clone().into_os_string()));
    let status = Command::new(real).args(&expanded.words).status()?;
    if !status.success() {
        return code(status);
    }
    let prefix = variable.to_string_lossy().into_owned();
    for (input, output, edits) in covered.iter().filter(|(_, _, edits)| !edits.is_empty()) {
        let plain = fs::read_to_string(input)?;
        let made = fs::read_to_string(output)?;
        match splice_into(&plain, &made, edits, &prefix) {
            Some(text) => fs::write(output, text)?,
            None => eprintln!(
                "tandem: warning: {}: covered, but not woven: its counters stand where spans would start",
                input.display()
            ),
        }
    }
    code(status)
}

fn code(status: std::process::ExitStatus) -> io::Result<ExitCode> {
    Ok(ExitCode::from(status.code().unwrap_or(1) as u8))
}

fn classify(input: &Path, shadow_root: &Path, description: &Description, mapping: Option<&Mapping>) -> Input {
    if let Ok(below) = input.strip_prefix(shadow_root) {
        return of_tree(description.files.get(below), input, description.real_root.join(below));
    }
    let Some(mapping) = mapping else { return Input::Plain };
    for shadow in &mapping.modules {
        let below = shadow.dir.as_ref().and_then(|dir| input.strip_prefix(dir).ok());
        if let Some(below) = below {
            return of_tree(shadow.files.get(below), input, shadow.module.dir.join(below));
        }
    }
    match mapping.overlay.get(input) {
        None => Input::Plain,
        Some(file) => match &file.edits {
            None => Input::Added { text: file.woven.clone() },
            // With an overlay of the user's own the tool reads other text than we wove: as in a plain build, its loss.
            Some(edits) if plain_hash(input).as_deref() == Some(&file.plain_hash) => {
                Input::Woven { plain: input.to_owned(), edits: edits.clone() }
            }
            Some(_) => Input::Plain,
        },
    }
}

fn of_tree(edits: Option<&Option<Vec<Edit>>>, input: &Path, real: PathBuf) -> Input {
    match edits {
        None => Input::Woven { plain: real, edits: Vec::new() },
        Some(None) => Input::Added { text: input.to_owned() },
        Some(Some(edits)) => Input::Woven { plain: real, edits: edits.clone() },
    }
}

fn plain_hash(path: &Path) -> Option<String> {
    Some(blake3::hash(&fs::read(path).ok()?).to_hex().to_string())
}

/// Puts edits of the plain text into what the tool made of it; `None` when the two cannot be brought together.
fn splice_into(plain: &str, made: &str, edits: &[Edit], counter_prefix: &str) -> Option<String> {
    let first_line = made.find('\n')? + 1; // `//line name:1:1`
    let places = correspond(plain, &made[first_line..], counter_prefix)?;
    let place = |at: usize| places.get(&at).map(|at| first_line + at);
    let moved: Option<Vec<Edit>> = edits
        .iter()
        .map(|edit| {
            let start = place(edit.range.start)?;
            let end = if edit.range.is_empty() { start } else { place_of_end(&places, edit.range.end)? + first_line };
            // A replaced range that holds a counter would lose it.
            (end - start == edit.range.len()).then(|| Edit { range: start..end, text: edit.text.clone() })
        })
        .collect();
    let text = splice::apply(made, &splice::merge(moved?).ok()?);
    weave::parses(&text).then_some(text)
}

fn place_of_end(places: &BTreeMap<usize, usize>, end: usize) -> Option<usize> {
    Some(places.get(&(end - 1))? + 1)
}

/// Where each byte of the plain text (and its end) stands in the tool's text, which only has more.
fn correspond(plain: &str, made: &str, counter_prefix: &str) -> Option<BTreeMap<usize, usize>> {
    let mut places = BTreeMap::new();
    let (plain_bytes, made_bytes) = (plain.as_bytes(), made.as_bytes());
    let (mut at, mut in_made) = (0, 0);
    loop {
        if let Some(length) = inserted(&made[in_made..], counter_prefix) {
            in_made += length;
            continue;
        }
        if at == plain_bytes.len() {
            places.insert(at, in_made);
            return Some(places);
        }
        let byte = *made_bytes.get(in_made)?;
        if byte == plain_bytes[at] {
            if plain.is_char_boundary(at) {
                places.insert(at, in_made);
            }
            at += 1;
            in_made += 1;
            // `made` is sliced above: never within a character.
            while at < plain_bytes.len() && !plain.is_char_boundary(at) {
                if made_bytes.get(in_made) != Some(&plain_bytes[at]) {
                    return None;
                }
                at += 1;
                in_made += 1;
            }
        } else if matches!(byte, b'{' | b'}') {
            in_made += 1; // braces round an `else if`
        } else {
            return None;
        }
    }
}

/// The length of a piece that the tool has put in here.
fn inserted(made: &str, counter_prefix: &str) -> Option<usize> {
    const IMPORTS: [&str; 2] = ["; import _cover_atomic_ \"sync/atomic\"", "; import _ \"runtime/coverage\""];
    if let Some(import) = IMPORTS.iter().find(|import| made.starts_with(**import)) {
        return Some(import.len());
    }
    let trimmed = made.trim_start_matches(' ');
    let is_counter = trimmed.starts_with(counter_prefix) || trimmed.starts_with("_cover_atomic_.");
    // Between the statements of one insertion there is a space that is not the program's.
    let is_first = trimmed.len() == made.len();
    let end = made.find(';')? + 1;
    let rest = made[end..].trim_start_matches(' ');
    let followed = rest.starts_with(counter_prefix) || rest.starts_with("_cover_atomic_.");
    (is_counter && is_first).then(|| if followed { made.len() - rest.len() } else { end })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "package p\n\n//tandem:span\nfunc A(n int) (err error) {\n\tif n > 3 { f(\"é\") } else if n > 1 {\n\t\tg()\n\t}\n\treturn nil\n}\n";
    const MADE: &str = "//line /x/a.go:1:1\npackage p; import _cover_atomic_ \"sync/atomic\"\n\n//tandem:span\nfunc A(n int) (err error) {goCover_fed4_0[0] = 12 ; goCover_fed4_0[1] = goCover_fed4_P ; goCover_fed4_0[2] = 0 ; goCover_fed4_0[3] = 1;\n\tif n > 3 {goCover_fed4_0[8]++; f(\"é\") } else{ goCover_fed4_0[9]++;if n > 1 {_cover_atomic_.AddUint32(&goCover_fed4_0[10], 1);\n\t\tg()\n\t}}\n\tgoCover_fed4_0[4]++;return nil\n}\n\nvar _ = _cover_atomic_.LoadUint32\n";

    #[test]
    fn edits_find_their_place_among_counters() {
        let at = |text: &str| PLAIN.find(text).expect("in the text");
        let edits = vec![
            Edit::insert(at("p\n") + 1, "; import tandem_rt \"tandem/rt\""),
            Edit::insert(at("{\n") + 1, " enter();"),
            Edit::replace(at("g()")..at("g()") + 3, "h()"),
            Edit::insert(PLAIN.len(), "var x = 1\n"),
        ];
        let text = splice_into(PLAIN, MADE, &edits, "goCover_fed4_").expect("they correspond");
        assert!(text.contains("= 1;; enter();\n") || text.contains("= 1; enter();\n"), "{text}");
        assert!(text.contains("\t\th()\n\t}}\n"), "{text}");
        assert!(text.contains("return nil\n}\nvar x = 1\n\nvar _ ="), "{text}");
    }

    #[test]
    fn other_text_is_not_woven() {
        assert_eq!(splice_into("package q\n", MADE, &[Edit::insert(0, "x")], "goCover_fed4_"), None);
    }
}
