//! Goroutines that Go itself has parked: they block no thread, so the kernel does not see them. Now and then the agent looks
//! at some of them from outside, reads the stacks of those that are in a span, and makes samples of them.
//!
//! Nothing is stopped and nothing is written. So what is read may be half of one state and half of the next: whatever is used
//! is read twice, and dropped when it has changed in between. Everything is bounded, and no address is believed: reading
//! another process's memory fails where there is none.

use std::ops::Range;

use model::{ProfileKind, SpanId, TraceId};
use record::{GoroutineFacts, HeaderFacts, MonotonicNanos};

use crate::profile::Sample;

/// Goroutines that are looked at in one go; of more, a part that is chosen by chance stands for all.
const LOOKED_AT: usize = 256;
/// Of these, those whose stacks are read.
const STACKS: usize = 64;
/// Bytes of a stack that are read.
const STACK_BYTES: u64 = 8192;
const FRAMES: usize = 127;
/// More goroutines than this are none.
const MOST: u64 = 1 << 24;
/// A g with what lies behind it is smaller.
const LARGEST_G: u32 = 4096;
/// `_Gwaiting` of Go's runtime.
const WAITING: u32 = 4;
/// The beginning of a context record: trace at 8, span at 24, whether it runs at 32.
const CONTEXT_BYTES: usize = 40;

/// Reads the goroutines of one process.
#[derive(Debug)]
pub(crate) struct Parked {
    pid: u32,
    goroutines: GoroutineFacts,
    slot_offset: u32,
    /// Chooses the part that is looked at.
    random: u64,
    /// It may not be read, or is gone.
    refused: bool,
}

/// What of a goroutine says where it waits, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    g: u64,
    sp: u64,
    pc: u64,
    bp: u64,
    /// The end of its stack.
    end: u64,
    context: u64,
}

impl Parked {
    /// `None`: the program does not say where its goroutines are.
    pub(crate) fn of(pid: u32, facts: &HeaderFacts) -> Option<Self> {
        let goroutines = facts.goroutines;
        let offsets = [
            goroutines.stack_offset,
            goroutines.status_offset,
            goroutines.sp_offset,
            goroutines.pc_offset,
            goroutines.bp_offset,
            facts.slot_offset,
        ];
        let told = goroutines.array_address != 0 && goroutines.count_address != 0;
        (told && offsets.iter().all(|&offset| offset < LARGEST_G)).then_some(Self {
            pid,
            goroutines,
            slot_offset: facts.slot_offset,
            random: goroutines.array_address | 1,
            refused: false,
        })
    }

    /// Samples of those that are parked in a span, each of which stands for so long.
    pub(crate) fn look(&mut self, now: MonotonicNanos, period: u64) -> Vec<Sample> {
        if self.refused {
            return Vec::new();
        }
        let Some(count) = self.word(self.goroutines.count_address).filter(|&count| count <= MOST) else {
            self.refused = true;
            return Vec::new();
        };
        let Some(array) = self.word(self.goroutines.array_address) else { return Vec::new() };
        let taken = count.min(LOOKED_AT as u64);
        let first = if count > taken { self.next_random() % count } else { 0 };
        let behind = taken.min(count - first); // the others are at the array's beginning
        let mut addresses = self.words(array.wrapping_add(8 * first), behind as usize);
        addresses.extend(self.words(array, (taken - behind) as usize));
        let mut waiting = self.waiting(&addresses);
        let mut scale = count as f64 / taken.max(1) as f64;
        let before = self.contexts(&waiting);
        let mut in_span: Vec<(Waiting, (TraceId, SpanId))> =
            waiting.drain(..).zip(before).filter_map(|(waiting, span)| Some((waiting, span?))).collect();
        if in_span.len() > STACKS {
            scale *= in_span.len() as f64 / STACKS as f64;
            let start = (self.next_random() % in_span.len() as u64) as usize;
            in_span.rotate_left(start);
            in_span.truncate(STACKS);
        }
        let stacks = self.stacks(&in_span);
        // Whoever went on meanwhile has another stack now.
        let again = self.waiting(&in_span.iter().map(|(waiting, _)| waiting.g).collect::<Vec<_>>());
        let spans = self.contexts(&again);
        let same: Vec<_> = again.into_iter().zip(spans).collect();
        let value_ns = (period as f64 * scale) as u64;
        let unchanged = in_span.iter().zip(stacks).filter(|((waiting, span), stack)| {
            !stack.is_empty() && same.iter().any(|(now, now_in)| now == waiting && *now_in == Some(*span))
        });
        unchanged
            .map(|((_, span), stack)| Sample {
                time: now,
                value_ns,
                process: self.pid,
                thread: 0,
                kind: ProfileKind::OffCpu,
                span: Some(*span),
                in_kernel: None,
                top: None,
                stack,
            })
            .collect()
    }

    /// Those of these goroutines that wait, and have a context.
    fn waiting(&self, addresses: &[u64]) -> Vec<Waiting> {
        let GoroutineFacts { stack_offset, status_offset, sp_offset, pc_offset, bp_offset, .. } = self.goroutines;
        let size =
            [stack_offset + 16, status_offset + 4, sp_offset + 8, pc_offset + 8, bp_offset + 8, self.slot_offset + 8]
                .into_iter()
                .max()
                .unwrap_or(0) as usize;
        let pieces: Vec<Range<u64>> = addresses.iter().map(|&g| g..g.saturating_add(size as u64)).collect();
        let read = read(self.pid, &pieces);
        let found = addresses.iter().zip(read.chunks(size)).filter_map(|(&g, bytes)| {
            let status = u32::from_le_bytes(bytes.get(status_offset as usize..)?.get(..4)?.try_into().ok()?);
            let waiting = Waiting {
                g,
                sp: u64_at(bytes, sp_offset as usize)?,
                pc: u64_at(bytes, pc_offset as usize)?,
                bp: u64_at(bytes, bp_offset as usize)?,
                end: u64_at(bytes, stack_offset as usize + 8)?,
                context: u64_at(bytes, self.slot_offset as usize)?,
            };
            let sound = waiting.context != 0 && waiting.sp < waiting.end && waiting.sp.is_multiple_of(8);
            (status == WAITING && sound).then_some(waiting)
        });
        found.collect()
    }

    /// The span of each, as long as that runs.
    fn contexts(&self, waiting: &[Waiting]) -> Vec<Option<(TraceId, SpanId)>> {
        let pieces: Vec<Range<u64>> =
            waiting.iter().map(|one| one.context..one.context.saturating_add(CONTEXT_BYTES as u64)).collect();
        let read = read(self.pid, &pieces);
        let mut records = read.chunks_exact(CONTEXT_BYTES);
        waiting
            .iter()
            .map(|_| {
                let record = records.next()?;
                let (trace, span) = (record[8..24].try_into().ok()?, record[24..32].try_into().ok()?);
                (record[32] == 1).then_some((TraceId(trace), SpanId(span)))
            })
            .collect()
    }

    /// The stack of each: where it goes on, then return addresses by the chain of frame pointers.
    fn stacks(&self, in_span: &[(Waiting, (TraceId, SpanId))]) -> Vec<Vec<u64>> {
        let piece = |waiting: &Waiting| waiting.sp..waiting.end.min(waiting.sp.saturating_add(STACK_BYTES));
        let pieces: Vec<Range<u64>> = in_span.iter().map(|(waiting, _)| piece(waiting)).collect();
        let read = read(self.pid, &pieces);
        let mut rest = read.as_slice();
        in_span
            .iter()
            .map(|(waiting, _)| {
                let range = piece(waiting);
                let size = (range.end - range.start) as usize;
                let (bytes, after) = rest.split_at(size.min(rest.len()));
                rest = after;
                if bytes.len() < size { Vec::new() } else { frames(waiting, bytes) }
            })
            .collect()
    }

    fn word(&self, address: u64) -> Option<u64> {
        u64_at(&read(self.pid, std::slice::from_ref(&(address..address.saturating_add(8)))), 0)
    }

    fn words(&self, address: u64, count: usize) -> Vec<u64> {
        let bytes = read(self.pid, std::slice::from_ref(&(address..address.saturating_add(8 * count as u64))));
        bytes.chunks_exact(8).filter_map(|word| u64_at(word, 0)).collect()
    }

    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

fn frames(waiting: &Waiting, stack: &[u8]) -> Vec<u64> {
    let mut frames = vec![waiting.pc];
    let mut frame = waiting.bp;
    while frames.len() < FRAMES {
        let Some(offset) = frame.checked_sub(waiting.sp).and_then(|offset| usize::try_from(offset).ok()) else { break };
        let (Some(next), Some(return_address)) = (u64_at(stack, offset), u64_at(stack, offset.saturating_add(8)))
        else {
            break;
        };
        if return_address == 0 {
            break;
        }
        frames.push(return_address);
        if next <= frame {
            break; // a stack has an end
        }
        frame = next;
    }
    frames
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(offset..offset.checked_add(8)?)?.try_into().ok()?))
}

/// The bytes of these pieces of a process's memory, one after the other, up to the first that cannot be read.
#[expect(unsafe_code, reason = "a system call that nobody wraps")]
fn read(pid: u32, pieces: &[Range<u64>]) -> Vec<u8> {
    const AT_ONCE: usize = 1024;
    let mut read = Vec::new();
    for pieces in pieces.chunks(AT_ONCE) {
        let size: usize = pieces.iter().map(|piece| piece.end.saturating_sub(piece.start) as usize).sum();
        let start = read.len();
        read.resize(start + size, 0);
        let local = libc::iovec { iov_base: read[start..].as_mut_ptr().cast(), iov_len: size };
        let remote: Vec<libc::iovec> = pieces
            .iter()
            .map(|piece| libc::iovec {
                iov_base: piece.start as *mut libc::c_void,
                iov_len: piece.end.saturating_sub(piece.start) as usize,
            })
            .collect();
        // SAFETY: the local piece is `size` bytes of a live vector that nobody else uses; the remote ones are addresses of
        // another process, which the kernel checks.
        let taken = unsafe {
            libc::process_vm_readv(pid as libc::pid_t, &raw const local, 1, remote.as_ptr(), remote.len() as u64, 0)
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        read.truncate(start + taken);
        if taken < size {
            break;
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    /// A g, its context and its stack, as they lie in a Go program.
    #[repr(C)]
    struct Goroutine {
        stack: [u64; 2],
        sp: u64,
        pc: u64,
        bp: u64,
        status: u32,
        context: *const [u64; 5],
    }

    fn facts(array: *const *const *const Goroutine, count: *const u64) -> HeaderFacts {
        HeaderFacts {
            slot_offset: std::mem::offset_of!(Goroutine, context) as u32,
            goroutines: GoroutineFacts {
                array_address: array as u64,
                count_address: count as u64,
                stack_offset: 0,
                status_offset: std::mem::offset_of!(Goroutine, status) as u32,
                sp_offset: std::mem::offset_of!(Goroutine, sp) as u32,
                pc_offset: std::mem::offset_of!(Goroutine, pc) as u32,
                bp_offset: std::mem::offset_of!(Goroutine, bp) as u32,
            },
            ..HeaderFacts::default()
        }
    }

    /// Those that wait in a span that runs, and no others; of many goroutines some stand for all.
    #[test]
    fn parked_goroutines_of_spans_are_seen() {
        let context =
            |valid: u64| Box::new([0u64, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303, valid]);
        let (running, ended) = (context(1), context(0));
        let mut stack = [0u64; 16];
        let at = |index: usize| ptr::from_ref(&stack[index]) as u64;
        let (frame, outer, end) = (at(2), at(6), at(15) + 8);
        let sp = at(0);
        stack[2] = outer;
        stack[3] = 0x1111;
        stack[7] = 0x2222;
        std::hint::black_box(&stack);
        let goroutine = |status: u32, context: &[u64; 5]| Goroutine {
            stack: [sp, end],
            sp,
            pc: 0x4000,
            bp: frame,
            status,
            context,
        };
        let made = [goroutine(4, &running), goroutine(4, &ended), goroutine(2, &running), goroutine(4, &running)];
        let pointers: Vec<*const Goroutine> = made.iter().map(ptr::from_ref).collect();
        let (array, count) = (pointers.as_ptr(), made.len() as u64);
        let facts = facts(&raw const array, &raw const count);
        let mut parked = Parked::of(std::process::id(), &facts).expect("it says where they are");
        let samples = parked.look(MonotonicNanos(5), 1000);
        assert_eq!(samples.len(), 2, "{samples:?}");
        for sample in &samples {
            assert_eq!(sample.stack, [0x4000, 0x1111, 0x2222]);
            assert_eq!((sample.value_ns, sample.time, sample.kind), (1000, MonotonicNanos(5), ProfileKind::OffCpu));
            assert_eq!(sample.span.map(|(_, span)| span), Some(SpanId([3; 8])));
        }

        let many: Vec<*const Goroutine> = (0..1024).map(|_| ptr::from_ref(&made[0])).collect();
        let (array, count) = (many.as_ptr(), many.len() as u64);
        let facts = self::facts(&raw const array, &raw const count);
        let mut parked = Parked::of(std::process::id(), &facts).expect("it says where they are");
        let samples = parked.look(MonotonicNanos(5), 1000);
        assert_eq!((samples.len(), samples.iter().map(|sample| sample.value_ns).sum::<u64>()), (STACKS, 1_024_000));
    }

    /// Addresses that lead nowhere, and a process that is none.
    #[test]
    fn nonsense_is_nothing() {
        let count = 3u64;
        let nowhere = ptr::null();
        let mut parked = Parked::of(std::process::id(), &facts(&raw const nowhere, &raw const count)).expect("told");
        assert_eq!(parked.look(MonotonicNanos(1), 1), []);
        let mut parked = Parked::of(u32::MAX >> 1, &facts(&raw const nowhere, &raw const count)).expect("told");
        assert_eq!(parked.look(MonotonicNanos(1), 1), []);
        assert!(parked.refused);
        assert!(Parked::of(1, &HeaderFacts::default()).is_none());
        let far = HeaderFacts { slot_offset: u32::MAX, ..facts(&raw const nowhere, &raw const count) };
        assert!(Parked::of(1, &far).is_none());
    }
}
