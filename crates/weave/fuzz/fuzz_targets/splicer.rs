//! Any text as a Go file: directives, a span in every function, and anchors taken from the text itself. The output parses if
//! the input did, and without the insertions it is the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weave::parse::GoFile;
use weave::signature::Namer;
use weave::splice::{Edit, apply, original_column};
use weave::{directive, find, token, weave as engine};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = GoFile::parse_leniently(text);
    let mut edits = Vec::new();
    for function in file.functions() {
        let mut namer = Namer::new(text, &function);
        let expanded = namer.expand("tandem_rt.Test($recv, $0, $r0)").or_else(|_| namer.expand("tandem_rt.Test()"));
        let Ok(expanded) = expanded else { continue };
        edits.extend(namer.edits);
        edits.push(Edit::insert(function.body.start + 1, format!(" {expanded};")));
    }
    check(text, &file, edits);
    check(text, &file, directive::spans(&file, "f.go", "example.com/p").edits);

    // An anchor is found where it stands.
    let tokens = token::tokens(text).ranges;
    if let (Some(first), Some(last)) = (tokens.first(), tokens.get(tokens.len().min(4).saturating_sub(1))) {
        let anchor = &text[first.start..last.end];
        for range in find::anchors(&file, file.root(), anchor) {
            assert!(text.get(range).is_some());
        }
    }
});

fn check(text: &str, file: &GoFile<'_>, edits: Vec<Edit>) {
    let Some(edits) = engine::finish_edits(text, edits) else { return };
    let output = apply(text, &edits);
    assert!(file.root().has_error() || GoFile::parse(&output).is_some());
    let (mut at, mut in_output) = (0, 0);
    for edit in &edits {
        let same = edit.range.start - at;
        assert_eq!(text[at..edit.range.start], output[in_output..in_output + same]);
        in_output += same + edit.text.len() + text[edit.range.clone()].matches('\n').count();
        at = edit.range.end;
    }
    assert_eq!(text[at..], output[in_output..]);
    for line in 1..=output.matches('\n').count().min(8) + 1 {
        let column = original_column(text, &edits, line, 5);
        assert!(column <= text.len() + 1);
    }
}
