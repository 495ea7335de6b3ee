//! The comments by which people steer the weave in their own code: `//tandem:span` and `//tandem:ignore`.

use crate::parse::{Function, GoFile};

/// Whether `//tandem:ignore` stands above the function or at the head of its file.
pub fn is_ignored(file: &GoFile<'_>, function: &Function<'_>) -> bool {
    if !file.text.contains("//tandem:ignore") {
        return false;
    }
    doc_comments(file, function).any(|comment| comment.trim_end() == "//tandem:ignore") || file_is_ignored(file)
}

/// Whether `//tandem:ignore` stands before the package clause.
pub fn file_is_ignored(file: &GoFile<'_>) -> bool {
    let head = file.package_name().map_or("", |name| &file.text[..name.start_byte()]);
    head.lines().any(|line| line.trim_end() == "//tandem:ignore")
}

/// The comment lines directly above the function.
fn doc_comments<'a>(file: &'a GoFile<'_>, function: &Function<'a>) -> impl Iterator<Item = &'a str> {
    let mut next = function.node;
    std::iter::from_fn(move || {
        let comment = next.prev_sibling().filter(|node| node.kind() == "comment")?;
        if comment.end_position().row + 1 != next.start_position().row {
            return None;
        }
        next = comment;
        Some(file.slice(comment))
    })
}
