//! What holds for every text, whatever it is: shared by the property tests and the fuzz targets.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use weave::condition::Condition;
use weave::imports::MethodName;
use weave::pack::Pack;
use weave::parse::GoFile;
use weave::signature::Namer;
use weave::splice::{Edit, apply, original_column};
use weave::types::Imported;
use weave::version::ReleaseVersion;
use weave::weave::{Input, PackageSource, RuleOf};
use weave::{directive, find, token, weave as engine};

/// Weaves a span into every function of a text, and what its directives ask for: the output parses if the input did, and
/// without the insertions it is the input.
pub fn check_file(text: &str) {
    let file = GoFile::parse_leniently(text);
    let mut edits = Vec::new();
    for function in file.functions().chain(file.literals()) {
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
    check_calls(text);

    // An anchor out of the text itself is looked for without harm.
    let tokens = token::tokens(text).ranges;
    if let (Some(first), Some(last)) = (tokens.first(), tokens.get(tokens.len().min(4).saturating_sub(1))) {
        for range in find::anchors(&file, file.root(), &text[first.start..last.end]) {
            assert!(text.get(range).is_some());
        }
    }
}

/// Asks whose methods the calls of a text call, where it is a package of its own: there is an answer.
fn check_calls(text: &str) {
    let rule = "pack: p\nrules:\n  - id: p.a\n    target: example.com/p\n    where: {method_call: example.com/p.T.M}\n    do: {wrap_result: f}\n";
    let hooks = BTreeMap::from([("hook.go".to_owned(), "package p\n\nfunc f(int) int { return 1 }\n".to_owned())]);
    let pack = Pack::parse("pack.yaml", rule, hooks).expect("it is sound");
    // Each name that is called gets its turn, so that all of them are looked at.
    let tokens: Vec<&str> = token::tokens(text).ranges.into_iter().map(|range| &text[range]).collect();
    let called = tokens.windows(3).filter(|words| words[0] == "." && words[2] == "(").map(|words| words[1]);
    for name in called.take(8) {
        let mut pack = pack.clone();
        for edit in pack.rules.iter_mut().flat_map(|rule| &mut rule.edits) {
            edit.place.condition = Condition::MethodCall(MethodName { name: name.to_owned(), ..of_t() });
        }
        engine::weave(&input(&pack, "example.com/p", text, &ReleaseVersion::parse("1.26.0").expect("a version")));
    }
}

fn of_t() -> MethodName {
    MethodName { path: "example.com/p".to_owned(), kind: "T".to_owned(), name: String::new() }
}

/// A package of one file.
fn input<'a>(pack: &'a Pack, path: &str, text: &str, go: &'a ReleaseVersion) -> Input<'a> {
    static NONE: LazyLock<Imported> = LazyLock::new(Imported::default);
    let instead = BTreeMap::from([("f.go".to_owned(), Some(text.to_owned()))]);
    let source = PackageSource { instead, ..PackageSource::default() };
    let targets = pack.rules.iter().map(|rule| rule.target.clone()).chain([path.to_owned()]);
    Input {
        rules: pack.rules.iter().map(|rule| RuleOf { pack, rule }).collect(),
        sources: targets.map(|target| (target, source.clone())).collect(),
        go,
        version_label: "p".to_owned(),
        module_version: ReleaseVersion::parse("v1.0.0"),
        matched_elsewhere: Default::default(),
        imported: &NONE,
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
const PACKAGE: &str = "package p\n\nimport \"context\"\n\ntype T struct{ a int }\n\nfunc (t *T) F(ctx context.Context, _ int) (int, error) {\n\tx := 1\n\treturn x, nil\n}\n\nfunc G() { g(func(int) error { return t.F(nil, 1) }) }\n\nvar t = &T{}\n";

/// Reads a text as a pack and applies it: an error that says where, or a pack whose output parses.
pub fn check_pack(text: &str) {
    let hooks = BTreeMap::from([("hook.go".to_owned(), "package p\n".to_owned())]);
    let pack = match Pack::parse("pack.yaml", text, hooks) {
        Ok(pack) => pack,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let go = ReleaseVersion::parse("1.26.0").expect("a version");
    let woven = engine::weave(&input(&pack, "p", PACKAGE, &go));
    for file in woven.packages.values().flat_map(|package| package.files.values()) {
        assert!(GoFile::parse(&file.text()).is_some(), "{}", file.text());
    }
}
