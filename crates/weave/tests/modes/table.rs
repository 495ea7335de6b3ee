//! `docs/builds.md`: one row for each `/// Build:` or `/// Refused:` line above a test, in whatever test file of the weave or
//! of the command line it stands. A row's last column names its test; a refusal's message must stand in the test's own code.
//!
//! `make generate` writes the file.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// In the order of the table.
const GROUPS: [&str; 6] = ["Commands", "Flags", "Layouts", "Go versions", "Circumstances", "Other commands"];
const HEAD: &str = "<!-- Written by `make generate` from the tests that it names. -->\n\n# Builds that are tested\n\nEach row is a test: the same command, plain and woven, gives the same result, the woven program is woven, and nothing of\nyours has changed. \"Refused\" is the message that is given instead. What a build does with your sources is in\n[weave.md](weave.md).\n";

struct Row {
    group: String,
    what: String,
    result: String,
    test: String,
}

/// The places in which tests stand, with the names by which rows call them.
fn sources() -> Vec<(String, PathBuf)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/");
    let mut found = Vec::new();
    for (folder, name) in [("weave/tests", ""), ("weave/tests/modes", "modes/"), ("tandem/tests/e2e", "e2e/")] {
        for entry in fs::read_dir(crates.join(folder)).expect("it is there").flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("modes/table.rs") {
                found.push((format!("{name}{}", path.file_stem().unwrap_or_default().to_string_lossy()), path));
            }
        }
    }
    found.sort();
    found
}

/// The rows that stand above the tests of one file.
fn rows(file: &str, text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut waiting: Vec<(&str, Vec<&str>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let row = ["/// Build: ", "/// Refused: "].into_iter().find_map(|kind| Some((kind, line.strip_prefix(kind)?)));
        if let Some((kind, row)) = row {
            let cells: Vec<&str> = row.split(" | ").collect();
            assert_eq!(cells.len(), 3, "{file}:{}: a row is GROUP | BUILD | RESULT", number + 1);
            assert!(GROUPS.contains(&cells[0]), "{file}:{}: there is no group {:?}", number + 1, cells[0]);
            waiting.push((kind, cells));
            continue;
        }
        let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next()) else {
            let is_between = line.starts_with("///") || line.starts_with("#[");
            assert!(waiting.is_empty() || is_between, "{file}:{}: a row stands above a test", number + 1);
            continue;
        };
        let body = || text.lines().skip(number).take_while(|line| *line != "}").collect::<Vec<_>>().join("\n");
        for (kind, cells) in waiting.drain(..) {
            let is_refusal = kind == "/// Refused: ";
            assert!(!is_refusal || body().contains(cells[2]), "{file}: {name} does not look for {:?}", cells[2]);
            rows.push(Row {
                group: cells[0].to_owned(),
                what: cells[1].to_owned(),
                result: if is_refusal { format!("refused: `{}`", cells[2]) } else { cells[2].to_owned() },
                test: format!("`{file}::{name}`"),
            });
        }
    }
    rows
}

fn document() -> String {
    let rows: Vec<Row> =
        sources().iter().flat_map(|(name, path)| rows(name, &fs::read_to_string(path).expect("source"))).collect();
    let mut text = HEAD.to_owned();
    for group in GROUPS {
        write!(text, "\n## {group}\n\n| build | result | test |\n|---|---|---|\n").expect("a String");
        for row in rows.iter().filter(|row| row.group == group) {
            writeln!(text, "| {} | {} | {} |", row.what, row.result, row.test).expect("a String");
        }
    }
    text
}

#[test]
fn the_table_is_that_of_the_tests() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/builds.md");
    let wanted = document();
    if std::env::var_os("TANDEM_GENERATE").is_some() {
        fs::write(&path, &wanted).expect("writable");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/builds.md is not that of the tests: run `make generate`");
}

#[test]
fn rows_belong_to_tests() {
    let text =
        "/// Build: Flags | `-x` | woven\n/// Refused: Flags | `-y` | no y\n#[test]\nfn x() {\n\tcheck(\"no y\");\n}\n";
    let found = rows("file", text);
    assert_eq!(found.len(), 2);
    assert_eq!((&*found[1].result, &*found[1].test), ("refused: `no y`", "`file::x`"));
    assert!(std::panic::catch_unwind(|| rows("file", &text.replace("(\"no y\")", "()"))).is_err());
    assert!(std::panic::catch_unwind(|| rows("file", "/// Build: Flags | x | woven\n\nfn x() {\n}\n")).is_err());
}
