//! What packs promise of their spans (`spans:` in `pack.yaml`), held against spans that were made.

use std::fs;
use std::sync::LazyLock;

use model::{Source, Span};
use weave::pack::{Pack, SpanKind, Spans};

use crate::rig::repository;
use crate::spans::{is_error, kind, title};

/// Those of all packs: the spans of a program may come from several.
static PROMISES: LazyLock<Vec<Spans>> = LazyLock::new(|| {
    let packs = fs::read_dir(repository().join("packs")).expect("the packs").flatten();
    let load = |folder: fs::DirEntry| Pack::load(&folder.path()).unwrap_or_else(|error| panic!("{error}"));
    packs.flat_map(|folder| load(folder).spans).chain([process()]).collect()
});

/// A program's own span, which no pack makes: docs/processes.md.
fn process() -> Spans {
    let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
    Spans {
        scope: "tandem/process".to_owned(),
        kind: SpanKind::Internal,
        description: String::new(),
        operations: Vec::new(),
        off: false,
        always: keys(&["process.executable.name", "process.pid", "process.exit.code"]),
        sometimes: keys(&["error.type"]),
    }
}

/// Each span is one that a pack promises, with all that is always there and nothing that nobody promised; an error always has
/// its type, and nothing else has one. Of spans that a program makes by hand nobody promises anything.
pub fn assert_kept(spans: &[Span]) {
    for span in spans.iter().filter(|span| span.source != Source::Api) {
        let fits = |promise: &&Spans| promise.scope == span.scope && promise.kind.to_string() == kind(span.kind);
        let broken: Vec<String> = PROMISES.iter().filter(fits).filter_map(|promise| broken(promise, span)).collect();
        let fitting = PROMISES.iter().filter(fits).count();
        assert_ne!(fitting, 0, "no pack promises {} spans of {}, as {} is", kind(span.kind), span.scope, title(span));
        assert!(broken.len() < fitting, "{} {}: {:?}", title(span), broken.join("; or "), span.attributes);
        assert_eq!(
            is_error(span),
            span.attributes.contains_key("error.type"),
            "{}: {:?}",
            title(span),
            span.attributes
        );
    }
}

/// What a span has or lacks against a promise.
fn broken(promise: &Spans, span: &Span) -> Option<String> {
    if let Some(key) = promise.always.iter().find(|key| !span.attributes.contains_key(*key)) {
        return Some(format!("has no {key}"));
    }
    let is_promised = |key: &String| promise.always.contains(key) || promise.sometimes.contains(key);
    span.attributes.keys().find(|key| !is_promised(key)).map(|key| format!("has {key}, which nobody promised"))
}
