//! Scenario: every function of a program whose end is found inside of it. Guarantee: whichever way a call takes from its
//! beginning to a return, it passes exactly one of the ends under its condition.
//!
//! The check goes forward through the code and counts; the search that it checks goes backward and stops at the first site.

#[path = "support/go.rs"]
mod go;

use std::collections::HashMap;
use std::fs;

use gobin::{Binary, Condition, EndRule, Function, Sites, sites};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};

/// How many ends may have been passed on the way to an instruction, as bits: none, one, more.
type Passed = u8;
const NONE: Passed = 1;
const ONE: Passed = 2;
const MORE: Passed = 4;

fn one_more(passed: Passed) -> Passed {
    (passed << 1) & (ONE | MORE) | passed & MORE
}

/// What may have been passed at each return that is reached from the beginning. `None`: it jumps through a register.
fn at_returns(binary: &Binary, code: &[Instruction], found: &Sites) -> Option<Vec<(u64, Passed)>> {
    let index: HashMap<u64, usize> = code.iter().enumerate().map(|(index, at)| (at.ip(), index)).collect();
    let mut passed = vec![0; code.len()];
    let start = index[&found.begin.address];
    passed[start] = NONE;
    let mut open = vec![start];
    while let Some(at) = open.pop() {
        let (instruction, so_far) = (&code[at], passed[at]);
        let behind = |taken: bool| {
            let counts = |when| match when {
                Condition::Always => true,
                Condition::Taken(_) => taken,
                Condition::NotTaken(_) => !taken,
            };
            let here = found.ends.iter().filter(|end| end.site.address == instruction.ip() && counts(end.when));
            here.fold(so_far, |passed, _| one_more(passed))
        };
        let jump = (instruction.near_branch_target(), behind(true));
        let next = (instruction.next_ip(), behind(false));
        let ways = match instruction.flow_control() {
            FlowControl::ConditionalBranch => vec![jump, next],
            FlowControl::UnconditionalBranch => vec![jump],
            FlowControl::IndirectBranch => return None,
            FlowControl::Return | FlowControl::Interrupt | FlowControl::Exception => vec![],
            FlowControl::Call if never_returns(binary, instruction.near_branch_target()) => vec![],
            _ => vec![next],
        };
        for (to, passed_there) in ways {
            let Some(&to) = index.get(&to) else {
                panic!("{:#x} ({:?}) goes on at {to:#x}, where there is no code", instruction.ip(), instruction.code());
            };
            if passed[to] | passed_there != passed[to] {
                passed[to] |= passed_there;
                open.push(to);
            }
        }
    }
    let is_return = |at: &Instruction| at.flow_control() == FlowControl::Return;
    let returns = code.iter().zip(passed).filter(|(at, passed)| is_return(at) && *passed != 0);
    Some(returns.map(|(at, passed)| (at.ip(), passed)).collect())
}

fn never_returns(binary: &Binary, target: u64) -> bool {
    let Some(function) = binary.function_at(target) else { return false };
    let name = function.name.strip_prefix("runtime.").unwrap_or_default();
    let begins = |beginnings: [&str; 3]| beginnings.iter().any(|beginning| name.starts_with(beginning));
    begins(["panic", "goPanic", "fatal"]) && !begins(["panicCheck1", "panicCheck2", "fatalsignal"])
        || ["gopanic", "throw", "Goexit"].contains(&name)
}

fn decode(bytes: &[u8], function: &Function) -> Vec<Instruction> {
    let code = &bytes[function.file_offset as usize..][..function.size as usize];
    Decoder::with_ip(64, code, function.address, DecoderOptions::NONE).into_iter().collect()
}

/// Checks all functions of a program; returns how many were covered.
fn check(build: go::Build<'_>) -> (usize, usize) {
    let path = build.make();
    let bytes = fs::read(&path).expect("it was built");
    let binary = Binary::open(&path).expect("a program");
    let (mut covered, mut all) = (0, 0);
    for function in binary.functions() {
        all += 1;
        let Ok(found) = sites(&binary, &function, EndRule::Inside) else { continue };
        let Some(returns) = at_returns(&binary, &decode(&bytes, &function), &found) else { continue };
        for (address, passed) in returns {
            let offset = address - function.address;
            assert_eq!(passed, ONE, "{}+{offset:#x} ({:?}): {found:x?}", function.name, build.go);
        }
        covered += 1;
    }
    (covered, all)
}

#[test]
fn each_passes_one_end() {
    let (covered, all) = check(go::Build { program: "std", arguments: &["-ldflags=-s -w"], ..go::Build::default() });
    println!("{covered} of {all} functions have their ends inside");
    assert!(covered > 1000);
}

#[test]
#[ignore = "builds with many versions of Go: make probe-sites"]
fn each_passes_one_end_in_every_version() {
    for go in std::env::var("TANDEM_GO_VERSIONS").expect("TANDEM_GO_VERSIONS").split_whitespace() {
        let build = go::Build { program: "std", go: Some(go), arguments: &["-ldflags=-s -w"], ..go::Build::default() };
        let (covered, all) = check(build);
        println!("{go}: {covered} of {all} functions have their ends inside");
        assert!(covered > 1000);
    }
}
