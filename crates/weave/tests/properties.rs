//! Scenario: any text, any edits that `merge` accepts. Guarantee: the output is the input with exactly these changes, with
//! lines where they were, and every column can be turned back.

#[path = "common/spliced.rs"]
mod spliced;

use proptest::collection::vec;
use proptest::prelude::*;
use weave::splice::{Edit, apply, merge, original_column};
use weave::token;
use weave::{directive, parse::GoFile, weave as engine};

fn go_like_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,6}",
        Just("\n".to_owned()),
        Just("é".to_owned()),
        Just(" := ".to_owned()),
        Just("{ }".to_owned()),
        Just("\"s\\\"\"".to_owned()),
        Just("// c\n".to_owned())
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn text_and_edits() -> impl Strategy<Value = (String, Vec<Edit>)> {
    go_like_text().prop_flat_map(|text| {
        let borders: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
        let plain = text.clone();
        let edit = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[A-Z;]{1,8}", any::<bool>()).prop_map(
            move |(a, b, inserted, keeps)| {
                let (a, b) = (borders[a.index(borders.len())], borders[b.index(borders.len())]);
                let range = a.min(b)..if a % 3 == 0 { a.max(b) } else { a.min(b) };
                let kept = if keeps { &plain[range.clone()] } else { "" };
                Edit::replace(range.clone(), inserted + kept)
            },
        );
        (Just(text), vec(edit, 0..8))
    })
}

/// Pieces of Go files, in an order that often makes sense and often does not.
fn go_file_like_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("func f() {}\n"),
        4 => Just("func (t *T[K]) m(_ int, xs ...string) (int, error) { return 0, nil }\n"),
        4 => Just("func g[K any](ctx context.Context, a, b K) (n int, err error) {\n\tdefer f()\n\treturn\n}\n"),
        2 => Just("func (T) n(int, string) error { return func() error { return nil }() }\n"),
        2 => Just("//tandem:span name n=1 s=len(xs)\n"),
        1 => Just("//tandem:ignore\n"),
        1 => Just("import . \"context\"\n"),
        1 => Just("type T struct{ a int }\n"),
        1 => Just("var x = func(a, b int) bool { return a < b }\n"),
        1 => Just("/* é\n */ "),
        1 => Just("//line x.y:3\r\n"),
        1 => Just("{"),
        1 => Just("}"),
        1 => Just("func ("),
        1 => Just("`raw\n"),
        1 => Just("\"text"),
        1 => Just("\u{feff}"),
        1 => Just("\0"),
    ];
    (prop_oneof![9 => Just("package p\n\nimport \"context\"\n\n"), 1 => Just("")], vec(piece, 0..12))
        .prop_map(|(head, pieces)| head.to_owned() + &pieces.concat())
}

const PACK: &str = "pack: p\nmodule: example.com/p\nrules:\n  - id: p.f\n    description: d\n    target: example.com/p\n    version: \">=1.0.0, <2.0.0\"\n    go: \">=1.21\"\n    add_files: [hook.go]\n    edits:\n      - where: {func: F, recv: \"*T\"}\n        do: {after: \"x := 1\", insert: \"; _ = $0\"}\n      - where: {struct: T}\n        do: {add_fields: \"b int\"}\n      - where: {func: G}\n        any_of: [{enter: \"println($r0)\"}, {enter: \"println()\"}]\n        optional: true\n";

/// A pack with some pieces cut out and others put in.
fn pack_like_text() -> impl Strategy<Value = String> {
    let change =
        (any::<prop::sample::Index>(), 0..12usize, prop_oneof!["[a-z{}\\[\\]:,\"$& *!|>\\n-]{0,6}", "\\PC{0,4}"]);
    vec(change, 0..6).prop_map(|changes| {
        let mut text: Vec<char> = PACK.chars().collect();
        for (at, cut, inserted) in changes {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, inserted.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn any_file_is_woven_or_left(text in go_file_like_text()) {
        spliced::check_file(&text);
    }

    #[test]
    fn any_pack_is_used_or_refused(text in pack_like_text()) {
        spliced::check_pack(&text);
    }

    #[test]
    fn output_without_insertions_is_the_input((text, edits) in text_and_edits()) {
        let Ok(edits) = merge(edits) else { return Ok(()) };
        let output = apply(&text, &edits);
        prop_assert_eq!(output.matches('\n').count(), text.matches('\n').count());
        // Walk both: what is not an edit must be equal.
        let (mut at, mut in_output) = (0, 0);
        for edit in &edits {
            let same = edit.range.start - at;
            prop_assert_eq!(&text[at..edit.range.start], &output[in_output..in_output + same]);
            let lines = |text: &str| text.matches('\n').count();
            in_output += same + edit.text.len() + lines(&text[edit.range.clone()]).saturating_sub(lines(&edit.text));
            at = edit.range.end;
        }
        prop_assert_eq!(&text[at..], &output[in_output..]);
    }

    #[test]
    fn columns_of_insertions_turn_back((text, edits) in text_and_edits()) {
        let insertions = edits.into_iter().filter(|edit| edit.range.is_empty()).collect();
        let Ok(edits) = merge(insertions) else { return Ok(()) };
        let output = apply(&text, &edits);
        // The n-th byte that is not inserted stands for the n-th byte of the input.
        let mut inserted = vec![false; output.len()];
        let mut shift = 0;
        for edit in &edits {
            inserted[edit.range.start + shift..][..edit.text.len()].fill(true);
            shift += edit.text.len();
        }
        let (mut line, mut column, mut plain_column) = (1, 1, 1);
        for (at, byte) in output.bytes().enumerate() {
            if !inserted[at] {
                prop_assert_eq!(original_column(&text, &edits, line, column), plain_column, "line {} column {} of {:?}", line, column, output);
                plain_column += 1;
            }
            column += 1;
            if byte == b'\n' {
                (line, column, plain_column) = (line + 1, 1, 1);
            }
        }
    }

    #[test]
    fn the_scanner_takes_every_text(text in "\\PC*", anchor in "\\PC{0,5}") {
        let tokens = token::tokens(&text).ranges;
        prop_assert!(tokens.windows(2).all(|pair| pair[0].end <= pair[1].start));
        prop_assert!(tokens.iter().all(|range| text.get(range.clone()).is_some_and(|token| !token.is_empty())));
        for range in token::find_all(&text, &anchor) {
            prop_assert!(text.get(range).is_some());
        }
    }

    #[test]
    fn any_directive_gives_go_that_parses(words in "[a-z=\"()+. \\[\\]{}|`']{0,30}", results in prop_oneof![Just(""), Just("error"), Just("(int, error)"), Just("(a int, err error)"), Just("(_ int, _ error)")], parameters in prop_oneof![Just(""), Just("context.Context"), Just("ctx context.Context, n int"), Just("_ context.Context, _ ...int")]) {
        let text = format!("package p\n\nimport \"context\"\n\n//tandem:span {words}\nfunc (*T) F({parameters}) {results} {{ panic(0) }}\n");
        let Some(file) = GoFile::parse(&text) else { return Ok(()) };
        let found = directive::spans(&file, "f.go", "example.com/p");
        let edits = engine::finish_edits(&text, found.edits);
        prop_assert!(edits.is_some(), "{text}");
    }
}
