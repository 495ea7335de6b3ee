//! Scenario: editors and people read `docs/pack.schema.json`. Guarantee: it is what the types that read packs say, every
//! pack of ours is valid under it, and what it refuses the reader refuses too.
//!
//! `UPDATE_GOLDEN=1 cargo test -p tandem-weave --test schema` writes it anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weave::pack::Pack;
use weave::pack_text;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/weave").to_path_buf()
}

/// What is wrong with `value` under the schema, as paths. Knows the words that the schema uses; another one is a failure.
fn problems(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut wrong = |what: String| found.push(format!("{path}: {what}"));
    let object = value.as_object();
    let mut inner: Vec<(&Value, &Value, String)> = Vec::new(); // schema, value, path
    for (word, meaning) in schema.as_object().expect("a schema is an object") {
        match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" | "minimum" => {}
            "$ref" => {
                let pointer = meaning.as_str().and_then(|text| text.strip_prefix('#')).expect("within the file");
                inner.push((root.pointer(pointer).expect("what is pointed at exists"), value, path.to_owned()));
            }
            "type" => {
                let kinds = meaning.as_array().cloned().unwrap_or_else(|| vec![meaning.clone()]);
                if !kinds.iter().any(|kind| is_kind(value, kind.as_str().expect("a name"))) {
                    wrong(format!("is not {meaning}"));
                }
            }
            "enum" => {
                if !meaning.as_array().expect("a list").contains(value) {
                    wrong(format!("is none of {meaning}"));
                }
            }
            "anyOf" => {
                let all = meaning.as_array().expect("a list");
                if !all.iter().any(|one| problems(root, one, value, path).is_empty()) {
                    wrong("is none of anyOf".into());
                }
            }
            "required" => {
                let names = meaning.as_array().expect("a list").iter().filter_map(Value::as_str);
                let is_missing = |name: &&str| object.is_some_and(|object| !object.contains_key(*name));
                names.filter(is_missing).for_each(|name| wrong(format!("lacks {name}")));
            }
            "properties" => inner.extend(
                object
                    .into_iter()
                    .flatten()
                    .filter_map(|(name, value)| Some((meaning.get(name)?, value, format!("{path}/{name}")))),
            ),
            "additionalProperties" => {
                let is_known = |name: &String| schema["properties"].get(name.as_str()).is_some();
                let others = object.into_iter().flatten().filter(|(name, _)| !is_known(name));
                match meaning {
                    Value::Bool(false) => others.for_each(|(name, _)| wrong(format!("has {name}"))),
                    _ => inner.extend(others.map(|(name, value)| (meaning, value, format!("{path}/{name}")))),
                }
            }
            "items" => inner.extend(
                value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .enumerate()
                    .map(|(at, item)| (meaning, item, format!("{path}/{at}"))),
            ),
            other => panic!("the schema has a word that this test does not know: {other}"),
        }
    }
    found.extend(inner.into_iter().flat_map(|(schema, value, path)| problems(root, schema, value, &path)));
    found
}

fn is_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("the schema has a type that this test does not know: {other}"),
    }
}

fn problems_of(yaml: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(&pack_text::schema()).expect("a schema is JSON");
    problems(&schema, &schema, &value(yaml), "")
}

/// As editors read it, by YAML 1.2: `off` is a text.
fn value(yaml: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(yaml, options).expect("it is YAML")
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
    let mut packs: Vec<PathBuf> =
        ["go/rt/runtime", "crates/weave/tests/testdata/shapes/pack"].map(|dir| root().join(dir)).into();
    packs.extend(fs::read_dir(root().join("packs")).expect("there").flatten().map(|entry| entry.path()));
    assert!(packs.len() >= 7);
    for pack in packs {
        let yaml = fs::read_to_string(pack.join("pack.yaml")).expect("a pack has one");
        let problems = problems_of(&yaml);
        assert!(problems.is_empty(), "{}: {problems:?}", pack.display());
    }
}

/// Each text has one mistake of form.
#[test]
fn schema_and_reader_refuse_the_same_forms() {
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
        format!("{rule}spans: [{{kind: server}}]\n"),
        format!("{rule}spans: [{{scope: tandem/x, kind: service}}]\n"),
        format!("{rule}spans: [{{scope: tandem/x, kind: server, sometime: [url.path]}}]\n"),
    ];
    for text in refused {
        assert!(!problems_of(&text).is_empty(), "{text}");
        assert!(Pack::parse("p", &text, BTreeMap::new()).is_err(), "{text}");
    }
    let sound = format!(
        "{rule}    where: {{func: x, all-of: [{{param: int}}], not: {{result: error}}}}\n    do: {{enter: x()}}\n"
    );
    assert_eq!(problems_of(&sound), Vec::<String>::new());
    Pack::parse("p", &sound, BTreeMap::new()).expect("it is sound");
}
