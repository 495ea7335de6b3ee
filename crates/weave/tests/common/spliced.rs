//! What holds for every text, whatever it is: shared by the property tests and the fuzz targets.

use std::collections::BTreeMap;

use weave::pack::Pack;
use weave::parse::GoFile;
use weave::signature::Namer;
use weave::splice::{Edit, apply, original_column};
use weave::version::ReleaseVersion;
use weave::weave::{Input, PackageSource, RuleOf};
use weave::{directive, find, token, weave as engine};

/// Weaves a span into every function of a text, and what its directives ask for: the output parses if the input did, and
/// without the insertions it is the input.
pub fn check_file(text: &str) {
    let file = GoFile::parse_leniently(text);
    let mut edits = Vec::new();
    for function in file.functions() {
        let mut namer = Namer::new(&file, &function, None);
        let at = function.body.start + 1;
        let mut expand = |text| namer.expand(text, at);
        let expanded = expand("tandem_rt.Test($recv, $0, $r0)").or_else(|_| expand("tandem_rt.Test()"));
        let Ok(expanded) = expanded else { continue };
        edits.extend(namer.edits);
        edits.push(Edit::insert(at, format!(" {expanded};")));
    }
    check_edits(text, &file, edits);
    check_edits(text, &file, directive::spans(&file, "f.go", "example.com/p").edits);

    // An anchor out of the text itself is looked for without harm.
    let tokens = token::tokens(text).ranges;
    if let (Some(first), Some(last)) = (tokens.first(), tokens.get(tokens.len().min(4).saturating_sub(1))) {
        for range in find::anchors(&file, file.root(), &text[first.start..last.end]) {
            assert!(text.get(range).is_some());
        }
    }
}

fn check_edits(text: &str, file: &GoFile<'_>, edits: Vec<Edit>) {
    let Some(edits) = engine::finish_edits(text, edits) else { return };
    let output = apply(text, &edits);
    assert!(file.root().has_error() || GoFile::parse(&output).is_some(), "{output}");
    let (mut at, mut in_output) = (0, 0);
    for edit in &edits {
        let same = edit.range.start - at;
        assert_eq!(text[at..edit.range.start], output[in_output..in_output + same]);
        in_output += same + edit.text.len() + text[edit.range.clone()].matches('\n').count();
        at = edit.range.end;
    }
    assert_eq!(text[at..], output[in_output..]);
    for line in 1..=output.matches('\n').count().min(8) + 1 {
        assert!(original_column(text, &edits, line, 5) <= text.len() + 1);
    }
}

/// What packs in the checks are woven into.
const PACKAGE: &str = "package p\n\nimport \"context\"\n\ntype T struct{ a int }\n\nfunc (t *T) F(ctx context.Context, _ int) (int, error) {\n\tx := 1\n\treturn x, nil\n}\n\nfunc G() {}\n";

/// Reads a text as a pack and applies it: an error that says where, or a pack whose output parses.
pub fn check_pack(text: &str) {
    let hooks = BTreeMap::from([("hook.go".to_owned(), "package p\n".to_owned())]);
    let pack = match Pack::parse("pack.yaml", text, hooks) {
        Ok(pack) => pack,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let instead = BTreeMap::from([("f.go".to_owned(), Some(PACKAGE.to_owned()))]);
    let source = PackageSource { instead, ..PackageSource::default() };
    let go = ReleaseVersion::parse("1.26.0").expect("a version");
    let woven = engine::weave(&Input {
        rules: pack.rules.iter().map(|rule| RuleOf { pack: &pack, rule }).collect(),
        sources: pack.rules.iter().map(|rule| (rule.target.clone(), source.clone())).collect(),
        go: &go,
        version_label: "p".to_owned(),
        module_version: ReleaseVersion::parse("v1.0.0"),
        matched_elsewhere: Default::default(),
    });
    for file in woven.packages.values().flat_map(|package| package.files.values()) {
        assert!(GoFile::parse(&file.text()).is_some(), "{}", file.text());
    }
}
