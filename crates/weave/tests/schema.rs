//! Scenario: editors and people read `docs/pack.schema.json`. Guarantee: it is what the types that read packs say, every
//! pack of ours is valid under it, and what it refuses the reader refuses too.
//!
//! `UPDATE_GOLDEN=1 cargo test -p tandem-weave --test schema` writes it anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use weave::pack::Pack;
use weave::pack_text;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/weave").to_path_buf()
}

fn validator() -> jsonschema::Validator {
    let schema = serde_json::from_str(&pack_text::schema()).expect("a schema is JSON");
    jsonschema::validator_for(&schema).expect("a schema is sound")
}

fn value(yaml: &str) -> serde_json::Value {
    serde_saphyr::from_str(yaml).expect("it is YAML")
}

#[test]
fn the_published_schema_is_that_of_the_types() {
    let path = root().join("docs/pack.schema.json");
    let now = pack_text::schema();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &now).expect("writable");
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(published == now, "docs/pack.schema.json differs from the types; UPDATE_GOLDEN=1 writes it anew");
}

#[test]
fn our_packs_are_valid() {
    let validator = validator();
    let mut packs: Vec<PathBuf> =
        ["go/rt/runtime", "crates/weave/tests/testdata/shapes/pack"].map(|dir| root().join(dir)).into();
    packs.extend(fs::read_dir(root().join("packs")).expect("there").flatten().map(|entry| entry.path()));
    assert!(packs.len() >= 7);
    for pack in packs {
        let yaml = fs::read_to_string(pack.join("pack.yaml")).expect("a pack has one");
        let problems: Vec<String> =
            validator.iter_errors(&value(&yaml)).map(|error| format!("{error} at {}", error.instance_path)).collect();
        assert!(problems.is_empty(), "{}: {problems:?}", pack.display());
    }
}

/// Each text has one mistake of form.
#[test]
fn schema_and_reader_refuse_the_same_forms() {
    let validator = validator();
    let rule = "pack: p\nrules:\n  - id: a\n    target: fmt\n";
    let refused = [
        "rules: []\n".to_owned(),
        "pack: p\n".to_owned(),
        "pack: p\nrules: 1\n".to_owned(),
        format!("{rule}    verison: '1'\n"),
        format!("{rule}    edits: [{{do: {{enter: x()}}}}]\n"),
        format!("{rule}    where: {{fnc: x}}\n    do: {{enter: x()}}\n"),
        format!("{rule}    where: {{func: x}}\n    do: {{entre: x()}}\n"),
        format!("{rule}    where: {{func: x}}\n    do: {{before: a, insert: b, count: many}}\n"),
        format!("{rule}    where: {{func: x, signature: {{params: [int]}}}}\n    do: {{enter: x()}}\n"),
        format!("{rule}    where: {{one-of: {{func: x}}}}\n    do: {{enter: x()}}\n"),
    ];
    for text in refused {
        assert!(!validator.is_valid(&value(&text)), "{text}");
        assert!(Pack::parse("p", &text, BTreeMap::new()).is_err(), "{text}");
    }
    let sound = format!(
        "{rule}    where: {{func: x, all-of: [{{param: int}}], not: {{result: error}}}}\n    do: {{enter: x()}}\n"
    );
    assert!(validator.is_valid(&value(&sound)));
    Pack::parse("p", &sound, BTreeMap::new()).expect("it is sound");
}
