//! Scenario: functions of all shapes that the compiler makes, and of shapes that only a liar makes. Guarantee: a probe's site
//! is a cheap instruction that every call of the function passes once at its beginning and once at its end; what cannot be
//! covered is refused, with the way out that is open.

#[path = "support/minimal.rs"]
mod minimal;

use gobin::{Binary, Condition, EndRule, Obstacle, SiteError, SiteKind, Sites, sites};
use minimal::{Program, TEXT};

/// `cmp 0x10(%r14),%rsp; jbe` to the given distance behind it.
fn stack_check(distance: u8) -> Vec<u8> {
    [&[0x49, 0x3b, 0x66, 0x10, 0x76, distance][..]].concat()
}

const PUSH_RBP: u8 = 0x55;
const POP_RBP: u8 = 0x5d;
const RET: u8 = 0xc3;
/// `mov %rsp,%rbp`.
const FRAME: [u8; 3] = [0x48, 0x89, 0xe5];
/// `test %rax,%rax`.
const TEST: [u8; 3] = [0x48, 0x85, 0xc0];

fn call(from: u64, to: u64) -> [u8; 5] {
    jump(0xe8, from, to)
}

fn jump(code: u8, from: u64, to: u64) -> [u8; 5] {
    let distance = (to as i64 - from as i64 - 5) as i32;
    let mut bytes = [code, 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&distance.to_le_bytes());
    bytes
}

fn found(program: &Program, name: &str, rule: EndRule) -> Result<Sites, SiteError> {
    let binary = Binary::read(program.bytes()).expect("a program");
    let function = binary.function(name).unwrap_or_else(|| panic!("no {name}"));
    sites(&binary, &function, rule)
}

/// A program whose first function makes the stack larger, at [`TEXT`].
fn program() -> Program {
    let mut program = Program::default();
    program.function("runtime.morestack_noctxt", &[RET]);
    program
}

/// Distances of sites from the beginning of their function.
fn ends(found: &Sites, start: u64) -> Vec<(u64, SiteKind, u8)> {
    found.ends.iter().map(|end| (end.site.address - start, end.site.kind, end.when.code())).collect()
}

#[test]
fn begins_behind_the_stack_check() {
    let mut program = program();
    let start = TEXT + 32;
    let mut body = stack_check(8);
    body.extend([PUSH_RBP, 0x90]);
    body.extend(TEST);
    body.extend([0x90, POP_RBP, RET]);
    body.extend(call(start + body.len() as u64, TEXT));
    body.extend([0xeb, 0xff]);
    let end = body.len() - 1;
    body[end] = (-(body.len() as i8)) as u8;
    assert_eq!(program.function("f", &body), start);
    let found = found(&program, "f", EndRule::Inside).expect("sites");
    assert_eq!(
        (found.begin.address - start, found.begin.kind, found.begin_when),
        (6, SiteKind::Push, Condition::Always)
    );
    assert_eq!(found.begin.file_offset, 0x1000 + 32 + 6);
    assert_eq!(ends(&found, start), [(11, SiteKind::Nop, 16)]);
}

/// Until Go 1.20 the frame is made without a push: the check's own jump is the beginning, when it is not taken.
#[test]
fn begins_with_the_check_where_nothing_is_pushed() {
    let mut program = program();
    let start = TEXT + 32;
    let mut body = stack_check(9);
    body.extend([0x48, 0x83, 0xec, 0x18]); // sub $0x18,%rsp
    body.extend([0x90, 0x48, 0x83, 0xc4, 0x18]); // nop; add
    body.push(RET);
    body[5] = body.len() as u8 - 6;
    body.extend(call(start + body.len() as u64, TEXT));
    body.extend([0xeb, (-(body.len() as i8) - 2) as u8]);
    program.function("f", &body);
    let found = found(&program, "f", EndRule::Inside).expect("sites");
    assert_eq!((found.begin.address - start, found.begin.kind), (4, SiteKind::Jcc));
    // The condition is "above": neither carry nor zero.
    assert_eq!(found.begin_when.code(), 7);
    assert!(found.begin_when.holds(0) && !found.begin_when.holds(1) && !found.begin_when.holds(1 << 6));
    assert_eq!(ends(&found, start), [(10, SiteKind::Nop, 16)]);
}

#[test]
fn large_frames_have_a_longer_check() {
    let mut program = program();
    let start = TEXT + 32;
    let mut body = vec![0x4c, 0x8d, 0xa4, 0x24, 0, 0xf0, 0xff, 0xff]; // lea -0x1000(%rsp),%r12
    body.extend([0x4d, 0x3b, 0x66, 0x10, 0x76, 4]); // cmp 0x10(%r14),%r12; jbe
    body.extend([PUSH_RBP, 0x90, POP_RBP, RET]);
    body.extend(call(start + body.len() as u64, TEXT));
    body.extend([0xeb, (-(body.len() as i8) - 2) as u8]);
    program.function("f", &body);
    let found = found(&program, "f", EndRule::Inside).expect("sites");
    assert_eq!((found.begin.address - start, found.begin.kind), (14, SiteKind::Push));
    assert_eq!(ends(&found, start), [(15, SiteKind::Nop, 16)]);
}

#[test]
fn functions_without_a_check_begin_with_their_push() {
    let mut program = program();
    let body = [&[PUSH_RBP][..], &FRAME, &TEST, &[0x74, 2, 0x90, 0x90, POP_RBP, RET]].concat();
    let start = program.function("f", &body);
    let found = found(&program, "f", EndRule::Inside).expect("sites");
    assert_eq!((found.begin.address - start, found.begin.kind), (0, SiteKind::Push));
    // Whoever does not jump passes the nop, who does passes the jump.
    assert_eq!(ends(&found, start), [(7, SiteKind::Jcc, 4), (10, SiteKind::Nop, 16)]);
}

#[test]
fn registers_that_are_overwritten_leave_no_beginning() {
    let mut program = program();
    program.function("f", &[0x31, 0xc0, 0x90, RET]); // xor %eax,%eax
    assert_eq!(found(&program, "f", EndRule::Inside), Err(SiteError::NoBegin { function: "f".into() }));
}

#[test]
fn a_call_before_the_end_is_named() {
    let mut program = program();
    let start = TEXT + 32;
    let mut body = vec![PUSH_RBP];
    body.extend(call(start + 1, start));
    body.extend([POP_RBP, RET]);
    program.function("f", &body);
    let expected = SiteError::Uncovered { function: "f".into(), exit: 7, obstacle: Obstacle::Call(1) };
    assert_eq!(found(&program, "f", EndRule::Inside), Err(expected.clone()));
    assert_eq!(expected.to_string(), "f leaves at +0x7 with nothing cheap behind its call at +0x1");
    let returns = found(&program, "f", EndRule::Return).expect("sites");
    assert_eq!(ends(&returns, start), [(7, SiteKind::Return, 16)]);
}

/// A panic has no end of its own: its call does not come back. What deferred functions recover returns without an end.
#[test]
fn panics_need_no_end() {
    let mut program = program();
    let panics = program.function("runtime.gopanic", &[RET]);
    let deferred = program.function("runtime.deferreturn", &[RET]);
    let start = TEXT + 3 * 32;
    let mut body = vec![PUSH_RBP];
    body.extend(TEST);
    body.extend([0x74, 4, 0x90, 0x90, POP_RBP, RET]);
    body.extend(call(start + body.len() as u64, panics));
    body.extend([0x0f, 0x0b]); // ud2
    body.extend(call(start + body.len() as u64, deferred));
    body.extend([POP_RBP, RET]);
    assert_eq!(program.function("f", &body), start);
    let found = found(&program, "f", EndRule::Inside).expect("sites");
    assert_eq!(ends(&found, start), [(7, SiteKind::Nop, 16)]);
    assert!(found.recovers);
}

#[test]
fn jumps_to_another_function_are_ways_out() {
    let mut program = program();
    let start = TEXT + 32;
    let body = [&[PUSH_RBP, 0x90, POP_RBP][..], &jump(0xe9, start + 3, TEXT)].concat();
    program.function("f", &body);
    for rule in [EndRule::Inside, EndRule::Return] {
        let expected = SiteError::Uncovered { function: "f".into(), exit: 3, obstacle: Obstacle::TailJump };
        assert_eq!(found(&program, "f", rule), Err(expected));
    }
}

#[test]
fn jump_tables_are_followed() {
    let mut program = program();
    let start = TEXT + 32;
    let mut body = vec![PUSH_RBP];
    body.extend([0x48, 0x8d, 0x0d, 0, 0, 0, 0]); // lea table(%rip),%rcx
    body.extend([0xff, 0x24, 0xc1]); // jmp *(%rcx,%rax,8)
    body.extend([0x90, POP_RBP, RET]); // 11
    body.extend(TEST); // 14
    body.extend([0xeb, 0xf9]); // jmp 12
    program.function("f", &body);
    // The program's data lie behind its head, whose length depends on the functions.
    let table = program.data_address();
    let distance = (table as i64 - (start as i64 + 8)) as i32;
    program.text[32 + 4..32 + 8].copy_from_slice(&distance.to_le_bytes());
    program.data = [start + 11, start + 14, 0].iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
    let sites = found(&program, "f", EndRule::Inside).expect("sites");
    assert_eq!(ends(&sites, start), [(11, SiteKind::Nop, 16), (17, SiteKind::Jmp, 16)]);

    // An entry that leads straight to the return passes no site.
    program.data[8..16].copy_from_slice(&(start + 12).to_le_bytes());
    let expected = SiteError::Uncovered { function: "f".into(), exit: 13, obstacle: Obstacle::Beginning };
    assert_eq!(found(&program, "f", EndRule::Inside), Err(expected));

    program.data.clear();
    assert_eq!(found(&program, "f", EndRule::Inside), Err(SiteError::IndirectJump { function: "f".into(), offset: 8 }));
}

/// A thousand ways out, each with the same long way back.
#[test]
fn what_would_not_end_soon_is_refused() {
    const RETURNS: usize = 1000;
    let mut program = program();
    let start = TEXT + 32;
    let mut body = vec![PUSH_RBP, 0x90];
    body.extend(TEST.repeat(10_000));
    let names_table = body.len();
    body.extend([0x48, 0x8d, 0x0d, 0, 0, 0, 0]);
    body.extend([0xff, 0x24, 0xc1]);
    let first = start + body.len() as u64;
    body.extend([RET; RETURNS]);
    program.function("f", &body);
    let distance = (program.data_address() as i64 - (start as i64 + names_table as i64 + 7)) as i32;
    program.text[32 + names_table + 3..32 + names_table + 7].copy_from_slice(&distance.to_le_bytes());
    program.data = (0..RETURNS as u64).flat_map(|index| (first + index).to_le_bytes()).collect();
    assert_eq!(found(&program, "f", EndRule::Inside), Err(SiteError::Tangled { function: "f".into() }));
}

#[test]
fn jumps_of_all_kinds_of_liars_are_errors() {
    let mut program = program();
    // Into the middle of an instruction, and to itself.
    program.function("middle", &[PUSH_RBP, 0x48, 0x85, 0xc0, 0x74, 0xfc, 0x90, RET]);
    program.function("itself", &[PUSH_RBP, 0xeb, 0xfe, RET]);
    program.function("nothing", &[PUSH_RBP, 0x06, 0x06]);
    assert!(matches!(found(&program, "middle", EndRule::Inside), Err(SiteError::Broken { .. })));
    assert!(matches!(found(&program, "nothing", EndRule::Inside), Err(SiteError::Broken { .. })));
    // Its return is never reached.
    assert_eq!(found(&program, "itself", EndRule::Inside).map(|sites| sites.ends), Ok(Vec::new()));
}

#[test]
fn ends_behind_every_call() {
    let mut program = program();
    let called = program.function("called", &[PUSH_RBP, POP_RBP, RET]);
    // One caller that goes on, one that only returns, and the caller of that.
    let start = TEXT + 2 * 32;
    let body = [&[PUSH_RBP][..], &call(start + 1, called), &TEST, &[0x74, 1, 0x90, POP_RBP, RET]].concat();
    assert_eq!(program.function("caller", &body), start);
    let wrapper = TEXT + 3 * 32;
    let body = [&[PUSH_RBP][..], &call(wrapper + 1, called), &[POP_RBP, RET]].concat();
    assert_eq!(program.function("wrapper", &body), wrapper);
    let above = TEXT + 4 * 32;
    let body = [&[PUSH_RBP][..], &call(above + 1, wrapper), &[0x90, POP_RBP, RET]].concat();
    assert_eq!(program.function("above", &body), above);

    // Without any description of types, what interfaces call is not known.
    assert!(found(&program, "called", EndRule::BestOf).is_err());
    program.data = vec![0; 16];
    let sites = found(&program, "called", EndRule::BestOf).expect("sites");
    assert_eq!(sites.rule, EndRule::ReturnSites);
    assert_eq!(ends(&sites, TEXT), [(2 * 32 + 9, SiteKind::Jcc, 16), (4 * 32 + 6, SiteKind::Nop, 16)]);

    // An interface's table may hold it: then not all calls are known.
    program.data = called.to_le_bytes().to_vec();
    let expected = SiteError::CalledByAddress { function: "called".into() };
    assert_eq!(found(&program, "called", EndRule::ReturnSites), Err(expected));
    let nobody = found(&program, "above", EndRule::ReturnSites);
    assert_eq!(nobody, Err(SiteError::NotCalled { function: "above".into() }));
}

#[test]
fn another_function_stands_in() {
    let mut program = program();
    program.function("f", &[PUSH_RBP, POP_RBP, RET]);
    let other = program.function("done", &[PUSH_RBP, POP_RBP, RET]);
    let sites = found(&program, "f", EndRule::StandIn("done")).expect("sites");
    assert_eq!(ends(&sites, other), [(0, SiteKind::Push, 16)]);
    let missing = found(&program, "f", EndRule::StandIn("nobody"));
    assert_eq!(missing, Err(SiteError::NoStandIn { function: "f".into(), stand_in: "nobody".into() }));
}
