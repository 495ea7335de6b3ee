//! Where a thread keeps the address of its goroutine: so far from the thread pointer. The runtime's own assembler reads it
//! there.

use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind, Register};

use crate::binary::Binary;

/// The distance that `runtime.morestack` reads with. Linkers write it into the instruction, or into the one before it that
/// loads it.
pub fn g_offset(binary: &Binary) -> Option<i64> {
    const LONGEST: usize = 64;
    let function = binary.function("runtime.morestack")?;
    let bytes = binary.bytes(function.address, (function.size as usize).min(LONGEST))?;
    let mut loaded = None;
    for instruction in Decoder::with_ip(64, &bytes, function.address, DecoderOptions::NONE) {
        let reads_thread = instruction.segment_prefix() == Register::FS;
        if reads_thread && instruction.memory_base() == Register::None {
            return Some(i64::from(instruction.memory_displacement64() as i32));
        }
        match loaded {
            Some((register, offset)) if reads_thread && instruction.memory_base() == register => return Some(offset),
            _ if reads_thread => return None,
            _ => {}
        }
        if instruction.mnemonic() == Mnemonic::Mov && instruction.op1_kind() == OpKind::Immediate32to64 {
            loaded = Some((instruction.op0_register(), instruction.immediate32to64()));
        }
    }
    None
}
