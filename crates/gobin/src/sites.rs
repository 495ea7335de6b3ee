//! Where to put probes: the instruction at which a function has begun, and those at which it ends.
//!
//! The kernel puts a breakpoint over the instruction of a probe. A few kinds of instructions it emulates, which costs less
//! than a microsecond; any other it executes out of line, one step, which costs ten times that. Go's functions begin and end
//! with the dear kind, so sites are looked for:
//!
//! * The beginning is the `push` behind the stack check; where there is none (until Go 1.20), the check's own jump, when it
//!   is not taken. Arguments are still in their registers.
//! * The end is found by an [`EndRule`]. Each way out of the function must pass exactly one site; a function with a way out
//!   that passes none is refused with the reason.
//!
//! A function that is left by a panic passes none of them, whatever the rule; see [`Sites::recovers`].

pub(crate) mod callers;
pub(crate) mod code;
mod ends;

use iced_x86::{Mnemonic, Register};
use thiserror::Error;

use crate::binary::{Binary, Function};
use code::{Callee, Code, Kind, keeps_arguments};

/// Instructions before the first site of a function.
const LONGEST_PROLOGUE: usize = 24;

/// Where a function begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sites {
    /// It has begun: its arguments are in their registers.
    pub begin: Site,
    /// When that probe means so.
    pub begin_when: Condition,
    /// Exactly one of them is passed by each way out.
    pub ends: Vec<End>,
    /// Which rule found the ends.
    pub rule: EndRule,
    /// Its deferred functions may recover a panic: then it returns without passing an end.
    pub recovers: bool,
}

/// A place for a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// Place in the file: what a uprobe wants to know.
    pub file_offset: u64,
    /// Address that it was linked at.
    pub address: u64,
    /// What stands there.
    pub kind: SiteKind,
    /// This much above the stack pointer lies the return address of the observed function. Its distance from the upper end of
    /// the goroutine's stack is the same at a call's beginning and its end (the runtime may have moved the stack), so it tells
    /// apart calls that are inside each other. `None` at a stand-in and above wrappers.
    pub frame: Option<i64>,
}

/// The instruction under a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SiteKind {
    /// Does nothing.
    Nop,
    /// `push`.
    Push,
    /// A jump under a condition.
    Jcc,
    /// A jump.
    Jmp,
    /// A call, before it is made.
    Call,
    /// A return: it is stepped over, at ten times the price.
    Return,
}

/// A place where a function ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The place.
    pub site: Site,
    /// When passing it means so.
    pub when: Condition,
}

/// When a probe counts: a jump under a condition is met on both of its ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Each time.
    Always,
    /// When the jump will be taken.
    Taken(FlagTest),
    /// When it will not.
    NotTaken(FlagTest),
}

/// What a jump asks of the processor's flags: any bit of `any`, or a sign that differs from the overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagTest {
    /// The number of the condition, as instructions encode it.
    pub code: u8,
    /// One of these bits is set.
    pub any: u64,
    /// Or sign and overflow differ.
    pub signs_differ: bool,
    /// All of that turned around.
    pub not: bool,
}

const CARRY: u64 = 1 << 0;
const PARITY: u64 = 1 << 2;
const ZERO: u64 = 1 << 6;
const SIGN: u64 = 1 << 7;
const OVERFLOW: u64 = 1 << 11;

impl FlagTest {
    fn of(code: u8) -> Self {
        let (any, signs_differ) = match code >> 1 {
            0 => (OVERFLOW, false),
            1 => (CARRY, false),
            2 => (ZERO, false),
            3 => (CARRY | ZERO, false),
            4 => (SIGN, false),
            5 => (PARITY, false),
            6 => (0, true),
            _ => (ZERO, true),
        };
        Self { code, any, signs_differ, not: code & 1 == 1 }
    }

    fn holds(self, flags: u64) -> bool {
        let differ = self.signs_differ && (flags & SIGN != 0) != (flags & OVERFLOW != 0);
        (flags & self.any != 0 || differ) != self.not
    }
}

impl Condition {
    /// A probe that found these flags counts.
    pub fn holds(self, flags: u64) -> bool {
        match self {
            Self::Always => true,
            Self::Taken(test) => test.holds(flags),
            Self::NotTaken(test) => !test.holds(flags),
        }
    }

    /// The same as one number: 16 for always, else the condition that must hold, as jumps encode it.
    pub fn code(self) -> u8 {
        match self {
            Self::Always => 16,
            Self::Taken(test) => test.code,
            Self::NotTaken(test) => test.code ^ 1,
        }
    }
}

/// How the end of a function is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndRule {
    /// At cheap instructions of its own behind the last call on each way out.
    Inside,
    /// At the first cheap instruction behind each call of it. All its calls must be direct ones.
    ReturnSites,
    /// At the beginning of another function that is called when this one is done.
    StandIn(&'static str),
    /// At its returns.
    Return,
    /// `Inside`, else `ReturnSites`.
    BestOf,
}

/// Why a function has no sites.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SiteError {
    /// Too long, or nothing.
    #[error("{function} is {size} bytes long")]
    Size {
        /// The function.
        function: String,
        /// Its size.
        size: u64,
    },
    /// Its jumps are such that looking at them would not end soon; no compiler makes such.
    #[error("{function} jumps about too much")]
    Tangled {
        /// The function.
        function: String,
    },
    /// Its code is not in the file.
    #[error("the code of {function} is not in the file")]
    NoCode {
        /// The function.
        function: String,
    },
    /// Its code is no code.
    #[error("{function} has no instruction at {address:#x}")]
    Broken {
        /// The function.
        function: String,
        /// Where one is missing.
        address: u64,
    },
    /// It jumps to where only its running knows.
    #[error("{function} jumps at +{offset:#x} to where no table says")]
    IndirectJump {
        /// The function.
        function: String,
        /// The jump.
        offset: u64,
    },
    /// No cheap instruction stands where its arguments are still there.
    #[error("{function} begins with nothing that is cheap to probe before its arguments are overwritten")]
    NoBegin {
        /// The function.
        function: String,
    },
    /// A way out passes no site.
    #[error("{function} leaves at +{exit:#x} {obstacle}")]
    Uncovered {
        /// The function.
        function: String,
        /// The last instruction of that way.
        exit: u64,
        /// What stands before any site.
        obstacle: Obstacle,
    },
    /// Nobody calls it directly.
    #[error("nothing calls {function} directly")]
    NotCalled {
        /// The function.
        function: String,
    },
    /// It is also called through its address.
    #[error("{function} is also called through its address (an interface, a closure)")]
    CalledByAddress {
        /// The function.
        function: String,
    },
    /// There are more calls than there may be probes.
    #[error("{function} is called in {calls} places")]
    ManyCalls {
        /// The function.
        function: String,
        /// How many.
        calls: usize,
    },
    /// A caller goes on with nothing cheap.
    #[error("behind its call of {function} at +{offset:#x}, {caller} has {obstacle}")]
    UncoveredCall {
        /// The function.
        function: String,
        /// Who calls it.
        caller: String,
        /// The call.
        offset: u64,
        /// What stands there.
        obstacle: Obstacle,
    },
    /// The function that is to stand in is not in the program.
    #[error("{stand_in}, whose beginning is to be the end of {function}, is not in the program")]
    NoStandIn {
        /// The function.
        function: String,
        /// The other.
        stand_in: String,
    },
    /// No rule covers it.
    #[error("{inside}; {callers}")]
    NoRule {
        /// Why not inside.
        inside: Box<SiteError>,
        /// Why not behind its calls.
        callers: Box<SiteError>,
    },
}

/// What keeps a way out from passing a cheap instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Obstacle {
    /// A call comes after the last one.
    #[error("with nothing cheap behind its call at +{0:#x}")]
    Call(u64),
    /// It is as good as empty.
    #[error("without anything between its beginning and that")]
    Beginning,
    /// It ends with a jump to another function, which does the rest.
    #[error("by a jump to another function")]
    TailJump,
    /// A jump or call through a register comes first.
    #[error("an indirect call or jump first")]
    Indirect,
    /// Its code ends.
    #[error("no more code")]
    NoCode,
    /// One wrapper calls the next.
    #[error("only wrappers above it")]
    Wrappers,
}

/// Finds the places for the probes of a function.
pub fn sites(binary: &Binary, function: &Function, rule: EndRule) -> Result<Sites, SiteError> {
    let code = Code::of(binary, function)?;
    let (begin, begin_when) = begin(binary, function, &code)?;
    let inside = || ends::inside(binary, function, &code, begin.address);
    let (ends, rule) = match rule {
        EndRule::Inside => (inside()?, rule),
        EndRule::ReturnSites => (ends::behind_calls(binary, function)?, rule),
        EndRule::StandIn(name) => (ends::stand_in(binary, function, name)?, rule),
        EndRule::Return => (ends::returns(binary, function, &code)?, rule),
        EndRule::BestOf => match inside() {
            Ok(ends) => (ends, EndRule::Inside),
            Err(inside) => match ends::behind_calls(binary, function) {
                Ok(ends) => (ends, EndRule::ReturnSites),
                Err(callers) => {
                    return Err(SiteError::NoRule { inside: inside.into(), callers: callers.into() });
                }
            },
        },
    };
    let recovers = (0..code.instructions().len()).any(|index| ends::is_recovery(&code, index));
    Ok(Sites { begin, begin_when, ends, rule, recovers })
}

/// Finds the place where a function has begun, for those whose end nobody asks for, and when a probe there means so.
pub fn beginning(binary: &Binary, function: &Function) -> Result<(Site, Condition), SiteError> {
    begin(binary, function, &Code::of(binary, function)?)
}

/// Finds the first cheap instruction behind the one call that a function makes of another one. The registers that results come
/// in, which are those of arguments, are as they were left by that.
pub fn behind_call(binary: &Binary, caller: &Function, called: &Function) -> Result<Site, SiteError> {
    ends::behind_call(binary, caller, called)
}

/// The first cheap instruction that is passed by every call, once, with arguments in place.
fn begin(binary: &Binary, function: &Function, code: &Code) -> Result<(Site, Condition), SiteError> {
    let site = |index: usize, kind| site(binary, function, code, index, kind);
    let mut check = None;
    for index in 0..code.instructions().len().min(LONGEST_PROLOGUE) {
        match code.at(index).kind {
            Kind::Push => return Ok((site(index, SiteKind::Push)?, Condition::Always)),
            Kind::Nop => return Ok((site(index, SiteKind::Nop)?, Condition::Always)),
            Kind::Jcc { code: condition, target } if grows_stack(code, target) => {
                check = Some((index, FlagTest::of(condition)));
            }
            _ if check.is_some() && !continues_check(code, index) => break,
            Kind::Jcc { .. } => return Ok((site(index, SiteKind::Jcc)?, Condition::Always)),
            Kind::Jmp { .. } => return Ok((site(index, SiteKind::Jmp)?, Condition::Always)),
            Kind::Call { .. } => return Ok((site(index, SiteKind::Call)?, Condition::Always)),
            // A loop would pass it again.
            _ if index > 0 && code.jumps_to(index).next().is_some() => break,
            Kind::Plain if keeps_arguments(&code.decoded(index)) => {}
            _ => break,
        }
    }
    let (index, test) = check.ok_or_else(|| SiteError::NoBegin { function: function.name.clone() })?;
    Ok((site(index, SiteKind::Jcc)?, Condition::NotTaken(test)))
}

/// Large frames are checked in two steps.
fn continues_check(code: &Code, index: usize) -> bool {
    let scratch = |register: Register| matches!(register, Register::R12 | Register::R13);
    let decoded = code.decoded(index);
    match decoded.mnemonic() {
        Mnemonic::Cmp => true,
        Mnemonic::Lea | Mnemonic::Sub | Mnemonic::Mov => scratch(decoded.op0_register()),
        _ => false,
    }
}

/// What begins here saves the arguments, has the stack made larger, and begins again.
fn grows_stack(code: &Code, target: u64) -> bool {
    const LONGEST: usize = 40;
    let Some(first) = code.index_of(target) else { return false };
    for instruction in code.instructions().iter().skip(first).take(LONGEST) {
        match instruction.kind {
            Kind::Plain | Kind::Nop => {}
            Kind::Call { callee: Callee::MoreStack, .. } => return true,
            _ => return false,
        }
    }
    false
}

fn site(binary: &Binary, function: &Function, code: &Code, index: usize, kind: SiteKind) -> Result<Site, SiteError> {
    let address = code.at(index).address;
    let file_offset = binary.file_offset(address);
    let file_offset = file_offset.ok_or_else(|| SiteError::NoCode { function: function.name.clone() })?;
    let frame = binary.line_table().stack_growth(address).map(i64::from);
    Ok(Site { file_offset, address, kind, frame })
}
