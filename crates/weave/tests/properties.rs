//! Scenario: any text, any edits that `merge` accepts. Guarantee: the output is the input with exactly these changes, with
//! lines where they were, and every column can be turned back.

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
        let edit = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[A-Z;]{1,8}").prop_map(
            move |(a, b, inserted)| {
                let (a, b) = (borders[a.index(borders.len())], borders[b.index(borders.len())]);
                Edit::replace(a.min(b)..if a % 3 == 0 { a.max(b) } else { a.min(b) }, inserted)
            },
        );
        (Just(text), vec(edit, 0..8))
    })
}

proptest! {
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
            in_output += same + edit.text.len() + text[edit.range.clone()].matches('\n').count();
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
