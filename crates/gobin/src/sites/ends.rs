//! The ends of a function, one way to find them after the other.

use std::collections::{BTreeMap, HashSet};

use super::code::{Callee, Code, Kind, keeps_arguments};
use super::{Condition, End, FlagTest, Obstacle, Site, SiteError, SiteKind, beginning, site};
use crate::binary::{Binary, Function};

/// Places where a function is called; each is a probe.
const MOST_CALLS: usize = 64;
/// Wrappers above each other.
const MOST_WRAPPERS: usize = 3;
/// Callers that are looked at for one function.
const MOST_CALLERS: usize = 256;
/// Steps back from the ways out of one function.
const MOST_STEPS: usize = 1 << 20;
/// Instructions behind a call until the first cheap one.
const LONGEST_WAY: usize = 64;

/// Walks back from every way out to the cheap instructions before it. Between such a site and the way out nothing branches
/// and nothing is called, so whoever passes the one takes the other.
pub fn inside(binary: &Binary, function: &Function, code: &Code, begin: u64) -> Result<Vec<End>, SiteError> {
    let mut found = Found::default();
    let start = function.address;
    // From which way out each instruction was seen last.
    let mut seen_from = vec![usize::MAX; code.instructions().len()];
    let mut steps = 0;
    for (exit, instruction) in code.instructions().iter().enumerate() {
        let uncovered = |obstacle| {
            let exit = instruction.address - start;
            Err(SiteError::Uncovered { function: function.name.clone(), exit, obstacle })
        };
        match instruction.kind {
            Kind::Return => {}
            Kind::Jmp { target } | Kind::Jcc { target, .. } | Kind::Branch { target } if !code.holds(target) => {
                return uncovered(Obstacle::TailJump);
            }
            _ => continue,
        }
        let mut open = vec![exit];
        while let Some(index) = open.pop() {
            steps += 1;
            if steps > MOST_STEPS {
                return Err(SiteError::Tangled { function: function.name.clone() });
            }
            if code.at(index).address <= begin {
                return uncovered(Obstacle::Beginning);
            }
            let mut walk_on = |index: usize| {
                if std::mem::replace(&mut seen_from[index], exit) != exit {
                    open.push(index);
                }
            };
            for from in code.jumps_to(index) {
                match code.at(from).kind {
                    Kind::Jmp { .. } => found.add(from, SiteKind::Jmp, Condition::Always),
                    Kind::Jcc { code, .. } => found.add(from, SiteKind::Jcc, Condition::Taken(FlagTest::of(code))),
                    _ => walk_on(from),
                }
            }
            if !code.flows(index - 1) {
                continue;
            }
            let before = index - 1;
            if code.at(before).address <= begin {
                return uncovered(Obstacle::Beginning);
            }
            match code.at(before).kind {
                Kind::Nop => found.add(before, SiteKind::Nop, Condition::Always),
                Kind::Push => found.add(before, SiteKind::Push, Condition::Always),
                Kind::Jcc { code, .. } => found.add(before, SiteKind::Jcc, Condition::NotTaken(FlagTest::of(code))),
                Kind::Call { callee: Callee::Light, .. } => found.add(before, SiteKind::Call, Condition::Always),
                Kind::Call { .. } if is_recovery(code, before) => {}
                Kind::Call { .. } | Kind::CallIndirect => {
                    return uncovered(Obstacle::Call(code.at(before).address - start));
                }
                _ => walk_on(before),
            }
        }
    }
    found.ends(binary, function, code)
}

/// Sites by instruction. One that is found for both of its ways is passed always.
#[derive(Default)]
struct Found(BTreeMap<usize, (SiteKind, Condition)>);

impl Found {
    fn add(&mut self, index: usize, kind: SiteKind, when: Condition) {
        let known = self.0.entry(index).or_insert((kind, when));
        if known.1 != when {
            known.1 = Condition::Always;
        }
    }

    fn ends(self, binary: &Binary, function: &Function, code: &Code) -> Result<Vec<End>, SiteError> {
        let end = |(index, (kind, when))| Ok(End { site: site(binary, function, code, index, kind)?, when });
        self.0.into_iter().map(end).collect()
    }
}

/// The runtime goes on here after a panic was recovered; nothing else does.
pub fn is_recovery(code: &Code, index: usize) -> bool {
    matches!(code.at(index).kind, Kind::Call { callee: Callee::DeferReturn, .. }) && code.is_unreached(index)
}

/// Every return.
pub fn returns(binary: &Binary, function: &Function, code: &Code) -> Result<Vec<End>, SiteError> {
    let mut ends = Vec::new();
    for (index, instruction) in code.instructions().iter().enumerate() {
        match instruction.kind {
            Kind::Return => {
                let site = site(binary, function, code, index, SiteKind::Return)?;
                ends.push(End { site, when: Condition::Always });
            }
            Kind::Jmp { target } | Kind::Jcc { target, .. } | Kind::Branch { target } if !code.holds(target) => {
                let exit = instruction.address - function.address;
                let obstacle = Obstacle::TailJump;
                return Err(SiteError::Uncovered { function: function.name.clone(), exit, obstacle });
            }
            _ => {}
        }
    }
    Ok(ends)
}

/// The beginning of a function that is called when this one is done.
pub fn stand_in(binary: &Binary, function: &Function, name: &str) -> Result<Vec<End>, SiteError> {
    let missing = || SiteError::NoStandIn { function: function.name.clone(), stand_in: name.to_owned() };
    let other = binary.function(name).ok_or_else(missing)?;
    let (begins, when) = beginning(binary, &other)?;
    Ok(vec![End { site: Site { frame: None, ..begins }, when }])
}

/// Behind every call of the function; where a caller does nothing but return, behind the calls of that.
pub fn behind_calls(binary: &Binary, function: &Function) -> Result<Vec<End>, SiteError> {
    let mut ends = BTreeMap::new();
    let mut open = vec![(function.clone(), 0)];
    let mut seen = HashSet::new();
    let mut looked_at = 0;
    while let Some((called, wrappers)) = open.pop() {
        if !seen.insert(called.address) {
            continue;
        }
        if wrappers > MOST_WRAPPERS {
            return Err(uncovered(function, &called, called.address, Obstacle::Wrappers));
        }
        for caller in callers(binary, &called)? {
            looked_at += 1;
            if looked_at > MOST_CALLERS {
                return Err(SiteError::ManyCalls { function: function.name.clone(), calls: looked_at });
            }
            let code = Code::of(binary, &caller)?;
            for call in 0..code.instructions().len() {
                match code.at(call).kind {
                    Kind::Call { target, .. } if target == called.address => {}
                    Kind::Jmp { target } | Kind::Jcc { target, .. }
                        if target == called.address && !code.holds(target) =>
                    {
                        open.push((caller.clone(), wrappers + 1));
                        continue;
                    }
                    _ => continue,
                }
                match after_call(&code, call) {
                    After::Site(index, kind) => {
                        let mut site = site(binary, &caller, &code, index, kind)?;
                        site.frame = (wrappers == 0).then(|| frame_of_callee(binary, &code, call, index)).flatten();
                        ends.insert(site.address, End { site, when: Condition::Always });
                    }
                    After::Nothing => {}
                    After::Return => open.push((caller.clone(), wrappers + 1)),
                    After::Obstacle(obstacle) => {
                        return Err(uncovered(function, &caller, code.at(call).address, obstacle));
                    }
                }
            }
        }
    }
    match ends.len() {
        0 => Err(SiteError::NotCalled { function: function.name.clone() }),
        1..=MOST_CALLS => Ok(ends.into_values().collect()),
        calls => Err(SiteError::ManyCalls { function: function.name.clone(), calls }),
    }
}

/// Behind the one call that a function makes of another one, with its results in their registers.
pub fn behind_call(binary: &Binary, caller: &Function, called: &Function) -> Result<Site, SiteError> {
    let code = Code::of(binary, caller)?;
    let is_call = |index: &usize| matches!(code.at(*index).kind, Kind::Call { target, .. } if target == called.address);
    let calls: Vec<usize> = (0..code.instructions().len()).filter(is_call).collect();
    let &[call] = &calls[..] else {
        let function = called.name.clone();
        return Err(match calls.len() {
            0 => SiteError::NotCalled { function },
            calls => SiteError::ManyCalls { function, calls },
        });
    };
    let obstacle = |obstacle| uncovered(called, caller, code.at(call).address, obstacle);
    match after_call(&code, call) {
        After::Site(index, kind) if (call + 1..index).all(|between| keeps_arguments(&code.decoded(between))) => {
            site(binary, caller, &code, index, kind)
        }
        After::Obstacle(what) => Err(obstacle(what)),
        After::Site(..) | After::Return | After::Nothing => Err(obstacle(Obstacle::Beginning)),
    }
}

fn uncovered(function: &Function, caller: &Function, call: u64, obstacle: Obstacle) -> SiteError {
    SiteError::UncoveredCall {
        function: function.name.clone(),
        caller: caller.name.clone(),
        offset: call - caller.address,
        obstacle,
    }
}

/// Functions that seem to call this one; all of them, or an error.
fn callers(binary: &Binary, called: &Function) -> Result<Vec<Function>, SiteError> {
    let by_address = || SiteError::CalledByAddress { function: called.name.clone() };
    if binary.callers().by_address(called.address) {
        return Err(by_address());
    }
    let calls = binary.callers().calls(called.address).ok_or_else(by_address)?;
    let mut callers: Vec<Function> = Vec::new();
    for call in calls {
        match binary.function_at(call) {
            // Calls are sorted, so those of one caller follow each other.
            Some(caller) if callers.last() != Some(&caller) => callers.push(caller),
            _ => {}
        }
        if callers.len() > MOST_CALLS {
            let calls = callers.len();
            return Err(SiteError::ManyCalls { function: called.name.clone(), calls });
        }
    }
    match callers.is_empty() {
        true => Err(SiteError::NotCalled { function: called.name.clone() }),
        false => Ok(callers),
    }
}

enum After {
    Site(usize, SiteKind),
    /// The call does not come back.
    Nothing,
    /// The caller returns as well.
    Return,
    Obstacle(Obstacle),
}

fn after_call(code: &Code, call: usize) -> After {
    if !code.flows(call) {
        return After::Nothing;
    }
    for index in call + 1..code.instructions().len().min(call + LONGEST_WAY) {
        match code.at(index).kind {
            Kind::Nop => return After::Site(index, SiteKind::Nop),
            Kind::Push => return After::Site(index, SiteKind::Push),
            Kind::Jcc { .. } => return After::Site(index, SiteKind::Jcc),
            Kind::Jmp { .. } => return After::Site(index, SiteKind::Jmp),
            Kind::Call { .. } => return After::Site(index, SiteKind::Call),
            Kind::CallIndirect | Kind::JmpIndirect | Kind::Branch { .. } => {
                return After::Obstacle(Obstacle::Indirect);
            }
            Kind::Return => return After::Return,
            Kind::Trap => return After::Nothing,
            Kind::Plain => {}
        }
    }
    After::Obstacle(Obstacle::NoCode)
}

/// How far above the stack pointer at a site of the caller the return address of the callee lay.
fn frame_of_callee(binary: &Binary, code: &Code, call: usize, at: usize) -> Option<i64> {
    let growth = |index: usize| binary.line_table().stack_growth(code.at(index).address).map(i64::from);
    Some(growth(at)? - growth(call)? - 8)
}
