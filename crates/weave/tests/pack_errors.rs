//! Scenario: packs with a mistake. Guarantee: the message says what was expected and shows the line.

use std::collections::BTreeMap;

use miette::{GraphicalReportHandler, GraphicalTheme};
use weave::pack::Pack;

const HOOK: &str = "package x\n\nfunc tandemStart(name string) int { return 1 }\n\nfunc tandemEnd(int, *error) {}\n";

/// The message for a pack whose rule ends with `rest`.
fn message(rest: &str) -> String {
    let yaml = format!("pack: mine\nrules:\n  - id: mine.one\n    target: example.com/x\n{rest}\n");
    let hooks = BTreeMap::from([("tandem_x.go".to_owned(), HOOK.to_owned())]);
    let error = Pack::parse("pack.yaml", &yaml, hooks).expect_err(rest);
    let mut text = String::new();
    let theme = GraphicalTheme::none();
    GraphicalReportHandler::new_themed(theme).with_width(160).render_report(&mut text, &error).expect("a String");
    text
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let cases = [
        "    where: {fnc: Get}\n    do: {enter: x()}",
        "    where: {func: Get}\n    do: {entre: x()}",
        "    version: '>=2, <1'",
        "    version: '>>1'",
        "    add_files: [tandem_y.go]",
        "    where: {func: Client.Get}\n    do: {enter: x()}",
        "    where: {func: Get, struct: Client}\n    do: {enter: x()}",
        "    where: {func: Get, all-of: [{func: Put}]}\n    do: {enter: x()}",
        "    where: {signature: {args: [int]}, param: string}\n    do: {enter: x()}",
        "    where: {one-of: []}\n    do: {enter: x()}",
        "    where: {param: 'http..Request'}\n    do: {enter: x()}",
        "    where: {func: Get}\n    do: {add_fields: x int}",
        "    where: {function_call: Get}\n    do: {wrap_result: tandemStart}",
        "    where: {function_call: net/http.Get}\n    do: {enter: x()}",
        "    where: {method_call: Do}\n    do: {wrap_result: tandemStart}",
        "    where: {closure: '2', func: Get}\n    do: {enter: x()}",
        "    where: {closure: func1, struct: Client}\n    do: {enter: x()}",
        "    where: {closure: func1, function_call: net/http.Get}\n    do: {wrap_result: tandemStart}",
        "    where: {func: Get}\n    do: {call_before: tandemStrat}",
        "    where: {func: Get}\n    do: {call_before: tandemStart, args: [$0, $1]}",
        "    where: {func: Get}\n    do: {call_before: tandemStart, args: ['if x']}",
        "    where: {func: Get}\n    do: {call_before: tandemStart, call_after: tandemEnd, after_args: [$before, $r0]}",
        "    where: {func: Get}\n    do: {call_after: tandemEnd, after_args: [$before, '&$r0']}",
        "    where: {func: Get}\n    do: {before: x, with: y}",
        "    where: {func: Get}\n    do: {wrap_argument: tandemStart}",
        "    where: {func: Get}\n    do: {add_declaration: 'x := 1'}",
        "    where: {func: Get}\n    do: {enter: \"a()\\nb()\"}",
        "    do: {enter: x()}",
        "    where: {func: Get}",
        "    where: {}\n    do: {enter: x()}",
        "  - id: mine.one\n    target: example.com/x",
        "  - id: mine.two\n    target: ./x",
        "spans:\n  - {scope: tandem/x, kind: sever}",
        "spans:\n  - {scope: tandem/x, kind: server, allways: [url.path]}",
        "spans:\n  - {scope: '', kind: server}",
        "spans:\n  - {scope: tandem/x, kind: server, default: of}",
        "spans:\n  - {scope: tandem/x, kind: server, operations: [mine.serve, server.mine]}",
        "    default: maybe",
        "hooks_of: {pack: other}",
        "hooks_of: {pack: other, instead_of: {x: y}}",
        "spans:\n  - scope: tandem/x\n    kind: server\n    always: [url.path]\n    sometimes: [url.query, url.path]",
        "spans:\n  - {scope: tandem/x, kind: server, always: [URL path]}",
    ];
    let all: String = cases.iter().map(|case| message(case)).collect::<Vec<_>>().join("\n");
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("pack_errors", all);
    });
}
