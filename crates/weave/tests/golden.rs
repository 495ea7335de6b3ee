//! Scenario: rules and directives are applied to small Go files. Guarantee: the woven text is exactly `woven.go.txt` beside
//! them, has as many lines as the input but for declarations at the end, and the reports are those in `reports.txt`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p tandem-weave --test golden` writes what is there now; read the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use weave::directive;
use weave::functions::{self, FunctionRules, Package};
use weave::pack::Pack;
use weave::parse::GoFile;
use weave::splice::Edit;
use weave::types::{Imported, ImportedModule};
use weave::version::ReleaseVersion;
use weave::weave::{Input, Outcome, PackageSource, RuleOf, Woven, finish_edits, weave};
use weave::{splice, weave as engine};

const IMPORT_PATH: &str = "example.com/shop";

#[test]
fn golden() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<_> =
        fs::read_dir(&root).expect("the folder is there").flatten().map(|entry| entry.path()).collect();
    cases.sort();
    assert!(cases.len() >= 5, "cases are missing in {}", root.display());
    for case in cases {
        let plain = fs::read_to_string(case.join("plain.go.txt")).expect("each case has plain.go.txt");
        let (text, reports) = woven(&case, &plain);
        check(&case.join("woven.go.txt"), &text);
        check(&case.join("reports.txt"), &reports);
        let first = ["var tandem", "var _ = tandem_rt."];
        let declared = text.lines().position(|line| first.iter().any(|start| line.starts_with(start)));
        let woven_lines = declared.unwrap_or(text.lines().count());
        assert_eq!(woven_lines, plain.lines().count(), "{}: lines have moved", case.display());
        assert!(engine::parses(&text), "{}: does not parse", case.display());
    }
}

fn woven(case: &Path, plain: &str) -> (String, String) {
    let mut reports = String::new();
    let mut edits: Vec<Edit> = Vec::new();
    if case.join("pack.yaml").is_file() {
        let pack = Pack::load(case).unwrap_or_else(|error| panic!("{error:?}"));
        let woven = apply(&pack, case, plain);
        for report in woven.reports {
            let what = match report.outcome {
                Outcome::Matched { places } => format!("matched {}", places.join(" ")),
                Outcome::OutOfRange { reason } => format!("out of range: {reason}"),
                Outcome::NotFound { reason } => format!("not found: {reason}"),
                Outcome::NotUsed { reason } => format!("not used: {reason}"),
            };
            reports.push_str(&format!("{}: {what}\n", report.rule));
            if !report.unknown.is_empty() {
                reports.push_str(&format!("{}: not known {}\n", report.rule, report.unknown.join(" ")));
            }
        }
        edits.extend(
            woven
                .packages
                .get(IMPORT_PATH)
                .into_iter()
                .flat_map(|package| package.files.values())
                .flat_map(|file| file.rule_edits.clone()),
        );
    }
    let file = GoFile::parse(plain).expect("golden inputs are Go");
    let directives = directive::spans(&file, "shop.go", IMPORT_PATH);
    reports.extend(directives.warnings.iter().map(|(line, text)| format!("line {line}: {text}\n")));
    reports.extend(directives.spans.iter().map(|(line, name)| format!("line {line}: span {name}\n")));
    edits.extend(directives.edits);
    if case.join("functions.yaml").is_file() {
        let text = fs::read_to_string(case.join("functions.yaml")).expect("just seen");
        let rules = FunctionRules::new(serde_saphyr::from_str(&text).expect("valid rules"), Path::new("/shop"));
        let rules = rules.for_package(Package { import_path: IMPORT_PATH, dir: Path::new("/shop") });
        let dormant = functions::weave(&file, "shop.go", IMPORT_PATH, &rules);
        reports.extend(dormant.functions.iter().map(|function| match &function.left_out {
            None => format!("line {}: dormant {}\n", function.line, function.name),
            Some(reason) => format!("line {}: left out {}: {reason}\n", function.line, function.name),
        }));
        edits.extend(dormant.edits);
    }
    let edits = finish_edits(plain, edits).expect("the edits fit together");
    (splice::apply(plain, &edits), reports)
}

fn apply(pack: &Pack, case: &Path, plain: &str) -> Woven {
    // The package that the file imports.
    let dir = Some(case.join("imported")).filter(|dir| dir.is_dir());
    let module = |dir| ImportedModule { path: "example.com/web".into(), dir, is_fixed: true };
    let imported = Imported { modules: dir.map(module).into_iter().collect(), ..Imported::default() };
    let instead = BTreeMap::from([("shop.go".to_owned(), Some(plain.to_owned()))]);
    weave(&Input {
        rules: pack.rules.iter().map(|rule| RuleOf { pack, rule }).collect(),
        sources: BTreeMap::from([(IMPORT_PATH.to_owned(), PackageSource { dir: "/nowhere".into(), instead })]),
        go: &ReleaseVersion::parse("go1.26.8").expect("valid"),
        version_label: "v1.2.3".into(),
        module_version: ReleaseVersion::parse("v1.2.3"),
        matched_elsewhere: BTreeSet::from(["elsewhere".to_owned()]),
        imported: &imported,
    })
}

fn check(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, text).expect("writable");
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(expected == text, "{} differs; now:\n{text}", path.display());
}
