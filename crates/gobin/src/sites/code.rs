//! The instructions of one function, as far as probes are concerned: which the kernel emulates instead of stepping over
//! them, and who goes on where.

use iced_x86::{Decoder, DecoderOptions, Instruction as Decoded, Mnemonic, OpKind, Register};

use super::SiteError;
use crate::binary::{Binary, Function};

/// Longer functions are not looked at.
const LONGEST_FUNCTION: u64 = 1 << 20;
/// Entries of all jump tables of one function.
const MOST_TABLE_ENTRIES: usize = 1 << 16;
/// Instructions between the one that names a jump table and the jump.
const JUMP_TABLE_DISTANCE: usize = 8;

/// An instruction.
#[derive(Debug, Clone, Copy)]
pub struct Instruction {
    pub address: u64,
    pub length: u8,
    pub kind: Kind,
}

/// What it does to the order of execution. `Nop`, `Push`, `Jcc`, `Jmp` and `Call` are in a form that Linux emulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nop,
    Push,
    /// Jumps under a condition (the low four bits of its operation code).
    Jcc {
        code: u8,
        target: u64,
    },
    Jmp {
        target: u64,
    },
    Call {
        target: u64,
        callee: Callee,
    },
    /// Through a register or memory.
    CallIndirect,
    JmpIndirect,
    /// A jump that is not emulated; it may also not jump.
    Branch {
        target: u64,
    },
    Return,
    /// Ends the program.
    Trap,
    Plain,
}

/// What is known of a function by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callee {
    /// It does not come back.
    Final,
    /// A few instructions in assembler that the compiler calls for its own purposes.
    Light,
    /// Runs deferred functions; the runtime goes on here after a panic was recovered.
    DeferReturn,
    /// Makes the stack larger, then begins the function again.
    MoreStack,
    Other,
}

impl Callee {
    fn of(binary: &Binary, address: u64) -> Callee {
        let name = binary.line_table().entry_at(address).filter(|entry| entry.address == address);
        let Some(name) = name.and_then(|entry| binary.line_table().name(entry.name as usize)) else {
            return Self::Other;
        };
        let Some(name) = name.strip_prefix(b"runtime.") else { return Self::Other };
        let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| name.starts_with(beginning.as_bytes()));
        if begins(&["morestack"]) {
            Self::MoreStack
        } else if name == b"deferreturn" {
            Self::DeferReturn
        } else if begins(&["gcWriteBarrier", "duffzero", "duffcopy", "wbZero", "wbMove"]) {
            Self::Light
        } else if name == b"throw"
            || name == b"Goexit"
            || name == b"gopanic"
            || begins(&["panic", "goPanic", "fatal"]) && !begins(&["panicCheck", "fatalsignal"])
        {
            Self::Final
        } else {
            Self::Other
        }
    }
}

/// A function's instructions in order.
#[derive(Debug)]
pub struct Code {
    start: u64,
    end: u64,
    bytes: Vec<u8>,
    instructions: Vec<Instruction>,
    /// Jumps inside the function: to and from which instruction, sorted.
    jumps: Vec<(u32, u32)>,
}

impl Code {
    pub fn of(binary: &Binary, function: &Function) -> Result<Code, SiteError> {
        if function.size == 0 || function.size > LONGEST_FUNCTION {
            return Err(SiteError::Size { function: function.name.clone(), size: function.size });
        }
        let bytes = binary
            .bytes(function.address, function.size as usize)
            .ok_or_else(|| SiteError::NoCode { function: function.name.clone() })?;
        let (start, end) = (function.address, function.address + function.size);
        let mut code = Code { start, end, bytes, instructions: Vec::new(), jumps: Vec::new() };
        let mut decoder = Decoder::with_ip(64, &code.bytes, start, DecoderOptions::NONE);
        let mut decoded = Decoded::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut decoded);
            let address = decoded.ip();
            if decoded.is_invalid() {
                // Behind a function's code there may be anything that nothing reaches; a jump there is an error below.
                break;
            }
            let at = (address - start) as usize;
            let kind = kind(&decoded, &code.bytes[at..at + decoded.len()]);
            let kind = match kind {
                Kind::Call { target, .. } => Kind::Call { target, callee: Callee::of(binary, target) },
                other => other,
            };
            code.instructions.push(Instruction { address, length: decoded.len() as u8, kind });
        }
        code.find_jumps(binary, function)?;
        Ok(code)
    }

    fn find_jumps(&mut self, binary: &Binary, function: &Function) -> Result<(), SiteError> {
        let mut jumps = Vec::new();
        let mut left = MOST_TABLE_ENTRIES;
        for (from, instruction) in self.instructions.iter().enumerate() {
            match instruction.kind {
                Kind::Jcc { target, .. } | Kind::Jmp { target } | Kind::Branch { target } if self.holds(target) => {
                    let to = self.index_of(target);
                    let to =
                        to.ok_or_else(|| SiteError::Broken { function: function.name.clone(), address: target })?;
                    jumps.push((to as u32, from as u32));
                }
                Kind::JmpIndirect => {
                    let targets = self.jump_table(binary, from, left);
                    if targets.is_empty() {
                        let offset = instruction.address - self.start;
                        return Err(SiteError::IndirectJump { function: function.name.clone(), offset });
                    }
                    left -= targets.len();
                    jumps.extend(targets.into_iter().map(|to| (to as u32, from as u32)));
                }
                _ => {}
            }
        }
        let runs_out = match self.instructions.last() {
            Some(last) => self.flows(self.instructions.len() - 1) && last.address + u64::from(last.length) < self.end,
            None => true,
        };
        if runs_out {
            let address = self.instructions.last().map_or(self.start, |last| last.address);
            return Err(SiteError::Broken { function: function.name.clone(), address });
        }
        jumps.sort_unstable();
        jumps.dedup();
        self.jumps = jumps;
        Ok(())
    }

    /// Where a jump through a table may go. Entries that belong to the next table may be among them: a way too many is one
    /// more that must be covered.
    fn jump_table(&self, binary: &Binary, jump: usize, most: usize) -> Vec<usize> {
        let decoded = self.decoded(jump);
        let (memory, table_register) = match decoded.op0_kind() {
            OpKind::Memory => (decoded, decoded.memory_base()),
            OpKind::Register => {
                // The entry was loaded before.
                let loads = |&at: &usize| {
                    let before = self.decoded(at);
                    before.mnemonic() == Mnemonic::Mov
                        && before.op0_register() == decoded.op0_register()
                        && before.op1_kind() == OpKind::Memory
                };
                let Some(at) = self.before(jump).find(loads) else { return Vec::new() };
                let load = self.decoded(at);
                (load, load.memory_base())
            }
            _ => return Vec::new(),
        };
        if memory.memory_index_scale() != 8 || memory.memory_displacement64() != 0 {
            return Vec::new();
        }
        let names = |&at: &usize| {
            let before = self.decoded(at);
            before.mnemonic() == Mnemonic::Lea
                && before.op0_register() == table_register
                && before.is_ip_rel_memory_operand()
        };
        let Some(at) = self.before(jump).find(names) else { return Vec::new() };
        let table = self.decoded(at).ip_rel_memory_address();
        let entry = |index: u64| binary.word(table.checked_add(index * 8)?).and_then(|target| self.index_of(target));
        let targets: Vec<usize> = (0..=most as u64).map_while(entry).collect();
        // One that does not end is none.
        if targets.len() > most { Vec::new() } else { targets }
    }

    fn before(&self, index: usize) -> impl Iterator<Item = usize> {
        (index.saturating_sub(JUMP_TABLE_DISTANCE)..index).rev()
    }

    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    pub fn at(&self, index: usize) -> Instruction {
        self.instructions[index]
    }

    /// The instruction in full.
    pub fn decoded(&self, index: usize) -> Decoded {
        let Instruction { address, length, .. } = self.instructions[index];
        let at = (address - self.start) as usize;
        Decoder::with_ip(64, &self.bytes[at..at + usize::from(length)], address, DecoderOptions::NONE).decode()
    }

    /// The address belongs to this function.
    pub fn holds(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// The instruction that begins at an address.
    pub fn index_of(&self, address: u64) -> Option<usize> {
        self.instructions.binary_search_by_key(&address, |instruction| instruction.address).ok()
    }

    /// Instructions that jump to this one.
    pub fn jumps_to(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let first = self.jumps.partition_point(|&(to, _)| (to as usize) < index);
        self.jumps[first..].iter().take_while(move |&&(to, _)| to as usize == index).map(|&(_, from)| from as usize)
    }

    /// Execution may go on with the next instruction.
    pub fn flows(&self, index: usize) -> bool {
        !matches!(
            self.instructions[index].kind,
            Kind::Jmp { .. } | Kind::JmpIndirect | Kind::Return | Kind::Trap | Kind::Call { callee: Callee::Final, .. }
        )
    }

    /// Nothing in the function leads here.
    pub fn is_unreached(&self, index: usize) -> bool {
        index > 0 && !self.flows(index - 1) && self.jumps_to(index).next().is_none()
    }
}

fn kind(decoded: &Decoded, bytes: &[u8]) -> Kind {
    let target = matches!(decoded.op0_kind(), OpKind::NearBranch64).then(|| decoded.near_branch_target());
    match (bytes, target) {
        ([0x90] | [0x66, 0x90] | [0x0f, 0x1f, ..] | [0x66, 0x0f, 0x1f, ..], _) => return Kind::Nop,
        ([0x50..=0x57] | [0x41, 0x50..=0x57], _) => return Kind::Push,
        ([code @ 0x70..=0x7f, _], Some(target)) | ([0x0f, code @ 0x80..=0x8f, _, _, _, _], Some(target)) => {
            return Kind::Jcc { code: code & 15, target };
        }
        ([0xeb, _] | [0xe9, _, _, _, _], Some(target)) => return Kind::Jmp { target },
        ([0xe8, _, _, _, _], Some(target)) => return Kind::Call { target, callee: Callee::Other },
        _ => {}
    }
    match (decoded.mnemonic(), target) {
        (Mnemonic::Jmp, None) => Kind::JmpIndirect,
        (Mnemonic::Call, _) => Kind::CallIndirect,
        (Mnemonic::Ret | Mnemonic::Retf | Mnemonic::Iretq, _) => Kind::Return,
        (Mnemonic::Ud2 | Mnemonic::Int3 | Mnemonic::Hlt, _) => Kind::Trap,
        // Among them `jmp` with a prefix: that it could go on is a way too many.
        (_, Some(target)) => Kind::Branch { target },
        _ => Kind::Plain,
    }
}

/// Leaves every register alone that arguments come in, and the goroutine's.
pub fn keeps_arguments(decoded: &Decoded) -> bool {
    match decoded.mnemonic() {
        Mnemonic::Cmp | Mnemonic::Test => true,
        Mnemonic::Mov
        | Mnemonic::Lea
        | Mnemonic::Sub
        | Mnemonic::Add
        | Mnemonic::Movups
        | Mnemonic::Movupd
        | Mnemonic::Movaps
        | Mnemonic::Movdqu
        | Mnemonic::Movss
        | Mnemonic::Movsd
        | Mnemonic::Movq
        | Mnemonic::Xorps => match decoded.op0_kind() {
            OpKind::Register => matches!(
                decoded.op0_register(),
                Register::RSP | Register::RBP | Register::R12 | Register::R13 | Register::R15 | Register::XMM15
            ),
            _ => true,
        },
        _ => false,
    }
}
