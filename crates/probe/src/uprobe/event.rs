//! What comes out of the ring buffer: a span that has ended. Every field is checked.

use std::mem::offset_of;

use super::skeleton::types::tandem_event;

/// Bytes before the texts.
const HEAD: usize = offset_of!(tandem_event, texts);
/// Texts that a span can have.
const TEXT_COUNT: usize = 8;

/// What a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A request that net/http serves.
    HttpServer,
    /// A request that net/http sends.
    HttpClient,
    /// An operation of database/sql.
    Sql,
    /// A call that grpc serves.
    GrpcServer,
    /// A unary call that grpc makes.
    GrpcClient,
    /// A stream that grpc opens.
    GrpcStream,
    /// No span: for whom something is that a socket tells of.
    Asking,
    /// Messages that are sent to Kafka.
    Send,
}

impl Kind {
    fn of(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::HttpServer,
            2 => Self::HttpClient,
            3 => Self::Sql,
            4 => Self::GrpcServer,
            5 => Self::GrpcClient,
            6 | 7 => Self::GrpcStream,
            8 => Self::Asking,
            9 => Self::Send,
            _ => return None,
        })
    }
}

/// How the parent of a span was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// It is a root.
    None,
    /// A header of the request names it.
    Remote,
    /// The context.Context that was passed belongs to it.
    Explicit,
    /// It was open on the same goroutine.
    Goroutine,
    /// It was open on the goroutine that started this one.
    Ancestor,
    /// The woven half of the program said so.
    Woven,
    /// It is the request that the other end of the connection has sent.
    Connection,
}

impl Parent {
    fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::None,
            1 => Self::Remote,
            2 => Self::Explicit,
            3 => Self::Goroutine,
            4 => Self::Ancestor,
            5 => Self::Woven,
            6 => Self::Connection,
            _ => return None,
        })
    }

    /// Its name in the attribute `tandem.parent.source`.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::None => return None,
            Self::Remote => "remote",
            Self::Explicit => "explicit",
            Self::Goroutine => "goroutine",
            Self::Ancestor => "ancestor",
            Self::Woven => "woven",
            Self::Connection => "connection",
        })
    }
}

/// How a span ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function returned.
    Done,
    /// It returned an error.
    Error,
    /// The handler panicked, or ended its goroutine.
    Panic,
    /// The handler has taken the connection over.
    Taken,
}

impl Outcome {
    fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Done,
            1 => Self::Error,
            2 => Self::Panic,
            3 => Self::Taken,
            _ => return None,
        })
    }
}

/// A span that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Process id, as the initial pid namespace counts.
    pub process: u32,
    /// What it is of.
    pub kind: Kind,
    /// CLOCK_MONOTONIC, ns.
    pub start: u64,
    /// The same.
    pub end: u64,
    /// Its trace.
    pub trace_id: [u8; 16],
    /// Its id.
    pub span_id: [u8; 8],
    /// W3C trace flags.
    pub trace_flags: u8,
    /// Its parent; zeros: none.
    pub parent_id: [u8; 8],
    /// How that was found.
    pub parent: Parent,
    /// How it ended.
    pub outcome: Outcome,
    numbers: [u64; 4],
    texts: [&'a [u8]; TEXT_COUNT],
    /// Bit by text: it was longer.
    cut: u16,
}

impl<'a> Event<'a> {
    /// Reads one. `None`: it makes no sense, which our own programs never write.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.get(HEAD..)?;
        let array = |at: usize| -> [u8; 8] { bytes[at..at + 8].try_into().expect("eight bytes") };
        let u64_at = |at| u64::from_le_bytes(array(at));
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"));
        let own = offset_of!(tandem_event, own);
        let mut texts: [&[u8]; TEXT_COUNT] = [&[]; TEXT_COUNT];
        let mut rest = rest;
        for (index, text) in texts.iter_mut().enumerate() {
            let length = u16_at(offset_of!(tandem_event, lengths) + 2 * index);
            (*text, rest) = rest.split_at_checked(length.into())?;
        }
        Some(Self {
            process: u32_at(offset_of!(tandem_event, process)),
            kind: Kind::of(u32_at(offset_of!(tandem_event, kind)))?,
            start: u64_at(offset_of!(tandem_event, start)),
            end: u64_at(offset_of!(tandem_event, end)),
            trace_id: bytes[own..own + 16].try_into().expect("sixteen bytes"),
            span_id: array(own + 16),
            trace_flags: bytes[own + 24],
            parent_id: array(offset_of!(tandem_event, parent_id)),
            parent: Parent::of(u32_at(offset_of!(tandem_event, parent)))?,
            outcome: Outcome::of(u32_at(offset_of!(tandem_event, outcome)))?,
            numbers: std::array::from_fn(|index| u64_at(offset_of!(tandem_event, numbers) + 8 * index)),
            texts,
            cut: u16_at(offset_of!(tandem_event, cut)),
        })
    }

    /// A text, by its number in `bpf/uprobe.h`.
    pub(crate) fn text(&self, number: usize) -> &'a [u8] {
        self.texts[number]
    }

    /// A text as it is written; what is no UTF-8 is replaced.
    pub(crate) fn lossy(&self, number: usize) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.texts[number])
    }

    /// A number, by its number in `bpf/uprobe.h`.
    pub(crate) fn number(&self, number: usize) -> u64 {
        self.numbers[number]
    }

    /// Something of it was longer than what is kept.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut != 0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An event as the programs write it.
    pub(crate) fn event(kind: u32, parent: u32, outcome: u32, numbers: [u64; 4], texts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0; HEAD];
        let mut put = |at: usize, data: &[u8]| bytes[at..at + data.len()].copy_from_slice(data);
        put(offset_of!(tandem_event, start), &1000u64.to_le_bytes());
        put(offset_of!(tandem_event, end), &3000u64.to_le_bytes());
        put(offset_of!(tandem_event, own), &[7; 16]);
        put(offset_of!(tandem_event, own) + 16, &[8; 8]);
        put(offset_of!(tandem_event, own) + 24, &[1]);
        if parent != 0 {
            put(offset_of!(tandem_event, parent_id), &[9; 8]);
        }
        put(offset_of!(tandem_event, process), &12u32.to_le_bytes());
        put(offset_of!(tandem_event, kind), &kind.to_le_bytes());
        put(offset_of!(tandem_event, parent), &parent.to_le_bytes());
        put(offset_of!(tandem_event, outcome), &outcome.to_le_bytes());
        for (index, number) in numbers.iter().enumerate() {
            put(offset_of!(tandem_event, numbers) + 8 * index, &number.to_le_bytes());
        }
        for (index, text) in texts.iter().enumerate() {
            put(offset_of!(tandem_event, lengths) + 2 * index, &(text.len() as u16).to_le_bytes());
        }
        texts.iter().for_each(|text| bytes.extend_from_slice(text));
        bytes
    }

    /// Texts lie one after the other, each as long as it says; one that would go beyond the end spoils the whole.
    #[test]
    fn texts_are_as_long_as_they_say() {
        let bytes = event(1, 2, 0, [200, 1, 1, 0], &[b"GET", b"", b"/a"]);
        let event = Event::parse(&bytes).expect("an event");
        assert_eq!(
            (event.text(0), event.text(1), event.text(2), event.text(3)),
            (&b"GET"[..], &b""[..], &b"/a"[..], &b""[..])
        );
        assert_eq!((event.kind, event.parent, event.number(0)), (Kind::HttpServer, Parent::Explicit, 200));
        assert_eq!(Event::parse(&bytes[..bytes.len() - 1]), None);
    }

    proptest! {
        /// Whatever the bytes, there is an event or there is none.
        #[test]
        fn any_bytes_are_an_event_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0u32..11) {
            let _ = Event::parse(&bytes);
            let mut good = event(kind, 1, 1, [0; 4], &[&b"a"[..]; 8]);
            for (place, byte) in good.iter_mut().zip(&bytes) {
                *place ^= byte & 1;
            }
            let _ = Event::parse(&good);
        }
    }
}
