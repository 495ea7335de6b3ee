//! The table of layouts by version, which `make offsets` writes from programs that it builds.
//!
//! A line gives a field (or the size of its structure) and ranges of versions with its place: `A..B=N` says that A and B were
//! looked at, have it at N, and so had every version between them that was looked at. A version between two ranges, before
//! the first, or behind the last is unknown. Lines of a module other than the standard library stand under the Go version
//! that they were built with, since structures may hold some of the standard library's: a Go version between two of them is
//! known where both agree.

use std::cmp::Ordering;

use super::{Layout, Wanted};
use crate::binary::Binary;

const TABLE: &str = include_str!("../../offsets/table.txt");
/// In place of a field's name: the structure itself.
pub const SIZE: &str = "size";

/// The layout of a structure in the versions that a program has, or why it is not known.
pub fn layout(binary: &Binary, wanted: &Wanted) -> Result<Layout, String> {
    let go = go_version(binary.go_version())
        .ok_or_else(|| format!("{} is no release of Go that the table could hold", binary.go_version()))?;
    let found = match wanted.module {
        "std" => find(TABLE, wanted, None, &go),
        module => {
            let known = binary.module_version(module);
            let version = known.ok_or_else(|| format!("the program does not say which version of {module} it has"))?;
            of_module(TABLE, wanted, version, &go)
        }
    };
    found.ok_or_else(|| {
        let version = binary.module_version(wanted.module).unwrap_or_default();
        let which = format!("{} {version}", wanted.module);
        format!("the table of versions has no layout of {} for {} with Go {go}", wanted.structure, which.trim_end())
    })
}

/// What the Go versions around the program's agree on.
fn of_module(table: &str, wanted: &Wanted, version: &str, go: &str) -> Option<Layout> {
    let mut columns: Vec<&str> = columns(table, wanted.module).collect();
    columns.sort_by(|one, other| compare(one, other));
    let below = columns.iter().rev().find(|column| compare(column, go).is_le())?;
    let above = columns.iter().find(|column| compare(column, go).is_ge())?;
    let mut layout = find(table, wanted, Some(below), version)?;
    let other = find(table, wanted, Some(above), version)?;
    layout.size = layout.size.filter(|_| layout.size == other.size);
    layout.fields.retain(|field| other.fields.contains(field));
    Some(layout)
}

fn columns<'a>(table: &'a str, module: &str) -> impl Iterator<Item = &'a str> {
    let mut within = false;
    table.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix("module ") {
            within = name == module;
        }
        line.strip_prefix("go ").filter(|_| within)
    })
}

/// The lines of a structure, under a module and a Go version, at one version.
fn find(table: &str, wanted: &Wanted, column: Option<&str>, version: &str) -> Option<Layout> {
    let (mut module, mut go) = ("", None);
    let (mut size, mut fields) = (None, Vec::new());
    for line in table.lines() {
        if let Some(name) = line.strip_prefix("module ") {
            (module, go) = (name, None);
        } else if let Some(version) = line.strip_prefix("go ") {
            go = Some(version);
        } else if module == wanted.module
            && go == column
            && let Some((structure, rest)) = line.split_once(' ')
            && structure == wanted.structure
            && let Some((field, ranges)) = rest.split_once(' ')
            && let Some(place) = in_ranges(ranges, version)
        {
            match field {
                SIZE => size = Some(place),
                field => fields.push((field.to_owned(), place)),
            }
        }
    }
    (size.is_some() || !fields.is_empty()).then_some(Layout { size, fields, ..Layout::default() })
}

fn in_ranges(ranges: &str, version: &str) -> Option<u32> {
    ranges.split(' ').find_map(|range| {
        let (versions, place) = range.split_once('=')?;
        let (first, last) = versions.split_once("..").unwrap_or((versions, versions));
        let within = compare(first, version).is_le() && compare(version, last).is_le();
        within.then(|| place.parse().ok())?
    })
}

/// `1.26.8` of `go1.26.8`. Nothing that was built by a Go between releases, or with experiments, has a known layout.
pub fn go_version(version: &str) -> Option<String> {
    let numbers = version.strip_prefix("go")?;
    numbers.split('.').all(|number| number.parse::<u32>().is_ok()).then(|| numbers.to_owned())
}

/// The order of versions: numbers by their value, one with something behind a hyphen before the one without.
pub fn compare(one: &str, other: &str) -> Ordering {
    let parts = |version: &str| {
        let version = version.trim_start_matches('v');
        let version = version.split_once('+').map_or(version, |(version, _)| version);
        let (release, before) = version.split_once('-').unwrap_or((version, ""));
        let mut numbers: Vec<u64> = release.split('.').map(|number| number.parse().unwrap_or(0)).collect();
        numbers.resize(3.max(numbers.len()), 0);
        (numbers, before.to_owned())
    };
    let ((numbers, before), (others, other_before)) = (parts(one), parts(other));
    numbers.cmp(&others).then_with(|| match (before.is_empty(), other_before.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => compare_words(&before, &other_before),
    })
}

/// `rc.2` before `rc.10`.
fn compare_words(one: &str, other: &str) -> Ordering {
    let word = |word: &str| match word.parse::<u64>() {
        Ok(number) => (0, number, String::new()),
        Err(_) => (1, 0, word.to_owned()),
    };
    one.split('.').map(word).cmp(other.split('.').map(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted { module: "m", structure: "m.T", package: "m", name: "T", fields: "a" };

    #[test]
    fn versions_have_an_order() {
        for pair in ["v1.2.3", "v1.10.0-rc.2", "v1.10.0-rc.10", "v1.10.0", "v2.0.0+incompatible"].windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(compare("1.20", "1.20.0"), Ordering::Equal);
        let pseudo = ["v0.0.0-20230101000000-ffffffffffff", "v0.0.0-20240101000000-aaaaaaaaaaaa"];
        assert_eq!(compare(pseudo[0], pseudo[1]), Ordering::Less);
    }

    #[test]
    fn releases_only() {
        assert_eq!(go_version("go1.26.8").as_deref(), Some("1.26.8"));
        for other in ["go1.27rc1", "go1.26.8 X:arenas", "devel go1.28-abc", ""] {
            assert_eq!(go_version(other), None, "{other}");
        }
    }

    #[test]
    fn what_lies_between_ranges_is_unknown() {
        let table = "module m\ngo 1.21.0\nm.T size v1.0.0..v1.4.0=16 v1.6.0..v1.9.0=24\nm.T a v1.0.0..v1.9.0=8\n\
                     go 1.26.0\nm.T size v1.0.0..v1.4.0=16 v1.6.0..v1.9.0=32\nm.T a v1.0.0..v1.9.0=8\n";
        let at = |version, go| of_module(table, &WANTED, version, go).and_then(|layout| layout.size);
        assert_eq!((at("v1.2.3", "1.24.1"), at("v1.4.0", "1.21.0")), (Some(16), Some(16)));
        assert_eq!((at("v1.5.0", "1.24.1"), at("v1.9.1", "1.24.1"), at("v0.9.0", "1.24.1")), (None, None, None));
        assert_eq!(
            (at("v1.7.0", "1.24.1"), at("v1.7.0", "1.21.0"), at("v1.7.0", "1.26.0")),
            (None, Some(24), Some(32))
        );
        assert_eq!((at("v1.2.3", "1.20.1"), at("v1.2.3", "1.27.0")), (None, None));
        // A field may be known where the structure's size is not.
        let fields = |version, go| of_module(table, &WANTED, version, go).map(|layout| layout.fields);
        assert_eq!(fields("v1.5.0", "1.24.1"), Some(vec![("a".to_owned(), 8)]));
    }
}
