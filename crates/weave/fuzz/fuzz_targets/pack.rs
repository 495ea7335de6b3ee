//! Any text as a pack, and what it asks for applied to a small package: an error or a pack, and never a panic.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use weave::pack::Pack;
use weave::version::ReleaseVersion;
use weave::weave::{Input, PackageSource, RuleOf};

const SOURCE: &str = "package p\n\nimport \"context\"\n\ntype T struct{ a int }\n\nfunc (t *T) F(ctx context.Context, _ int) (int, error) {\n\tx := 1\n\treturn x, nil\n}\n\nfunc G() {}\n";

fuzz_target!(|text: &str| {
    let hooks = BTreeMap::from([("hook.go".to_owned(), "package p\n".to_owned())]);
    let Ok(pack) = Pack::parse("pack.yaml", text, hooks) else { return };
    let instead = BTreeMap::from([("f.go".to_owned(), Some(SOURCE.to_owned()))]);
    let source = PackageSource { instead, ..PackageSource::default() };
    let sources = pack.rules.iter().map(|rule| (rule.target.clone(), source.clone())).collect();
    let rules = pack.rules.iter().map(|rule| RuleOf { pack: &pack, rule }).collect();
    let go = ReleaseVersion::parse("1.26.0").expect("a version");
    let woven = weave::weave::weave(&Input {
        rules,
        sources,
        go: &go,
        version_label: "p".to_owned(),
        module_version: ReleaseVersion::parse("v1.0.0"),
        matched_elsewhere: Default::default(),
    });
    for file in woven.packages.values().flat_map(|package| package.files.values()) {
        assert!(weave::parse::GoFile::parse(&file.text()).is_some(), "{}", file.text());
    }
});
