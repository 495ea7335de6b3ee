//! Edits of a text by byte range. The output is the input with ranges replaced; nothing else changes, and the number
//! of lines never does: a replaced range gives back the newlines it contained, unless they are in what replaces it.

use std::collections::HashSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One change of a file: `range` of the original becomes `text`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edit {
    /// Bytes of the original; empty for an insertion.
    pub range: Range<usize>,
    /// What stands there afterwards.
    pub text: String,
}

impl Edit {
    /// Text before the byte at `at`.
    pub fn insert(at: usize, text: impl Into<String>) -> Edit {
        Edit { range: at..at, text: text.into() }
    }

    /// Text instead of `range`.
    pub fn replace(range: Range<usize>, text: impl Into<String>) -> Edit {
        Edit { range, text: text.into() }
    }

    /// Newlines that come behind its text, since what it replaces had them.
    pub(crate) fn lines_given_back(&self, replaced: &str) -> usize {
        replaced.matches('\n').count().saturating_sub(self.text.matches('\n').count())
    }
}

/// Brings edits into the order in which `apply` needs them, first given first at one position. The same replacement or
/// the same name in a signature, asked for twice, becomes one. The error is an edit that overlaps another.
pub fn merge(edits: Vec<Edit>) -> Result<Vec<Edit>, Edit> {
    let mut shared: HashSet<Edit> = HashSet::new();
    let mut merged: Vec<Edit> = Vec::with_capacity(edits.len());
    for edit in edits {
        let may_be_shared = !edit.range.is_empty() || crate::signature::is_name(&edit.text);
        if !may_be_shared || shared.insert(edit.clone()) {
            merged.push(edit);
        }
    }
    merged.sort_by_key(|edit| (edit.range.start, edit.range.end));
    match merged.windows(2).find(|pair| pair[1].range.start < pair[0].range.end) {
        Some(pair) => Err(pair[1].clone()),
        None => Ok(merged),
    }
}

/// The text with `edits` applied, which come from `merge`.
pub fn apply(text: &str, edits: &[Edit]) -> String {
    let mut output = String::with_capacity(text.len() + edits.iter().map(|edit| edit.text.len()).sum::<usize>());
    let mut at = 0;
    for edit in edits {
        output.push_str(&text[at..edit.range.start]);
        output.push_str(&edit.text);
        output.extend(std::iter::repeat_n('\n', edit.lines_given_back(&text[edit.range.clone()])));
        at = edit.range.end;
    }
    output.push_str(&text[at..]);
    output
}

/// The column (from 1, in bytes) in the original of a column of the spliced line that starts at `line_start` in the original.
pub fn original_column(text: &str, edits: &[Edit], line: usize, column: usize) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let line_end = text[line_start..].find('\n').map_or(text.len(), |end| line_start + end);
    let mut original = line_start; // position in the original that `spliced` columns into the line stand for
    let mut left = column.saturating_sub(1);
    for edit in edits.iter().filter(|edit| edit.range.start >= line_start && edit.range.start <= line_end) {
        let plain = edit.range.start - original;
        if left < plain || (left == plain && !edit.range.is_empty()) {
            break;
        }
        left -= plain;
        original = edit.range.start;
        if left < edit.text.len() {
            left = 0;
            break;
        }
        left -= edit.text.len();
        original = edit.range.end.min(line_end);
    }
    (original + left).min(line_end.max(original)) - line_start + 1
}
