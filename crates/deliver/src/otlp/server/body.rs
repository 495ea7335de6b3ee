//! Bodies of requests: read within a time and a limit, unpacked within the same limit. What all of them hold together is bounded, too.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::{DEADLINE_EXCEEDED, INTERNAL, Refusal, UNIMPLEMENTED};

/// A body is sent within this time.
const SENDING: Duration = Duration::from_secs(30);
/// Memory is asked for in pieces of this size while a message is unpacked.
const PIECE: usize = 64 * 1024;

/// Bytes that all requests may hold together.
#[derive(Debug)]
pub struct Memory {
    used: AtomicUsize,
    limit: usize,
}

impl Memory {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limit })
    }
}

/// What one request holds of them; dropped, it is given back.
#[derive(Debug)]
pub struct Held {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Held {
    pub fn none(memory: &Arc<Memory>) -> Self {
        Self { memory: Arc::clone(memory), bytes: 0 }
    }

    /// Holds at least so many.
    fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let more = bytes.saturating_sub(self.bytes);
        if self.memory.used.fetch_add(more, Ordering::Relaxed) + more > self.memory.limit {
            self.memory.used.fetch_sub(more, Ordering::Relaxed);
            return Err(Refusal::busy("no_memory", "too many messages at once"));
        }
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How a message is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    None,
    Gzip,
    Zlib,
}

impl Packing {
    /// By its name in a header.
    pub fn named(name: Option<&[u8]>) -> Result<Self, Refusal> {
        match name {
            None => Ok(Self::None),
            Some(name) if name.eq_ignore_ascii_case(b"identity") || name.is_empty() => Ok(Self::None),
            Some(name) if name.eq_ignore_ascii_case(b"gzip") => Ok(Self::Gzip),
            Some(name) if name.eq_ignore_ascii_case(b"deflate") => Ok(Self::Zlib),
            Some(name) => {
                let message = format!("{} is not understood: send gzip, deflate or identity", name.escape_ascii());
                Err(Refusal::new("unknown_encoding", 415, UNIMPLEMENTED, message))
            }
        }
    }
}

/// The whole body as it was sent.
pub async fn read(mut body: Incoming, limit: usize, held: &mut Held) -> Result<Bytes, Refusal> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(Refusal::too_large(limit));
    }
    let announced = announced as usize;
    held.grow(announced)?;
    let reading = async {
        let mut whole: Option<BytesMut> = None;
        let mut first = Bytes::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::malformed(format!("the message did not arrive: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            let so_far = whole.as_ref().map_or(first.len(), BytesMut::len);
            if so_far + data.len() > limit {
                return Err(Refusal::too_large(limit));
            }
            held.grow(so_far + data.len())?;
            match &mut whole {
                None if first.is_empty() => first = data, // nearly always all of it
                None => {
                    let mut joined = BytesMut::with_capacity(announced.max(first.len() + data.len()));
                    joined.extend_from_slice(&first);
                    joined.extend_from_slice(&data);
                    whole = Some(joined);
                }
                Some(joined) => joined.extend_from_slice(&data),
            }
        }
        Ok(whole.map_or(first, BytesMut::freeze))
    };
    tokio::time::timeout(SENDING, reading)
        .await
        .unwrap_or_else(|_| Err(Refusal::new("too_slow", 408, DEADLINE_EXCEEDED, "the message did not arrive in time")))
}

/// A message as it was before it was packed.
pub fn unpack(packed: Bytes, packing: Packing, limit: usize, held: &mut Held) -> Result<Bytes, Refusal> {
    match packing {
        Packing::None => Ok(packed),
        Packing::Gzip => read_unpacked(MultiGzDecoder::new(&*packed), packed.len(), limit, held),
        Packing::Zlib => read_unpacked(ZlibDecoder::new(&*packed), packed.len(), limit, held),
    }
}

fn read_unpacked(mut from: impl Read, packed: usize, limit: usize, held: &mut Held) -> Result<Bytes, Refusal> {
    let mut out: Vec<u8> = Vec::new();
    loop {
        let filled = out.len();
        let room = (filled.max(PIECE)).min(limit.saturating_sub(filled) + 1); // one more than allowed shows what is too long
        held.grow(packed + filled + room)?;
        out.resize(filled + room, 0);
        let read = fill(&mut from, &mut out[filled..]);
        let read = read.map_err(|error| Refusal::malformed(format!("the message cannot be unpacked: {error}")))?;
        if filled + read > limit {
            return Err(Refusal::too_large(limit));
        }
        if read < room {
            out.truncate(filled + read);
            return Ok(out.into());
        }
    }
}

/// Reads until the buffer is full or the end has come.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The one message in a body of gRPC: whether it is packed, its length, itself.
pub fn message_of(body: &Bytes, limit: usize) -> Result<(bool, Bytes), Refusal> {
    let head: Option<&[u8; 5]> = body.first_chunk();
    let Some(&[packed, length @ ..]) = head else {
        return Err(Refusal::new("malformed", 400, INTERNAL, "the message is cut off"));
    };
    let length = u32::from_be_bytes(length) as usize;
    if length > limit {
        return Err(Refusal::too_large(limit));
    }
    match (packed, body.len() - 5) {
        (0 | 1, rest) if rest == length => Ok((packed == 1, body.slice(5..))),
        (0 | 1, rest) if rest < length => Err(Refusal::new("malformed", 400, INTERNAL, "the message is cut off")),
        (0 | 1, _) => Err(Refusal::new("malformed", 400, INTERNAL, "there is more than one message")),
        _ => Err(Refusal::new("malformed", 400, INTERNAL, "the message's first byte must be 0 or 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it").into()
    }

    /// What is at the limit passes, a byte more does not, and a bomb is not unpacked beyond it.
    #[test]
    fn unpacking_stops_at_the_limit() {
        let memory = Memory::new(10 << 20);
        let unpacked = |bytes: Bytes, limit| unpack(bytes, Packing::Gzip, limit, &mut Held::none(&memory));
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 300_000] {
            let plain = vec![7; size];
            assert_eq!(unpacked(gzip(&plain), size).as_deref(), Ok(&*plain), "{size}");
            if size > 0 {
                assert_eq!(unpacked(gzip(&plain), size - 1), Err(Refusal::too_large(size - 1)));
            }
        }
        let bomb = gzip(&vec![0; 50 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(unpacked(bomb.clone(), 1 << 20), Err(Refusal::too_large(1 << 20)));
        assert_eq!(unpacked(bomb.clone(), 40 << 20).map_err(|refusal| refusal.cause), Err("no_memory"));
        assert_eq!(unpacked(bomb.slice(..500), 1 << 30).map_err(|refusal| refusal.cause), Err("malformed"));
        assert_eq!(memory.used.load(Ordering::Relaxed), 0, "all of it was given back");
    }

    #[test]
    fn one_message_and_no_more() {
        let framed = |bytes: &'static [u8]| message_of(&Bytes::from_static(bytes), 10);
        assert_eq!(framed(b"\0\0\0\0\x02ab"), Ok((false, Bytes::from_static(b"ab"))));
        assert_eq!(framed(b"\x01\0\0\0\0"), Ok((true, Bytes::new())));
        for wrong in
            [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x03ab", b"\0\0\0\0\x01ab", b"\x02\0\0\0\x02ab", b"\0\0\0\0\x0bab"]
        {
            assert!(framed(wrong).is_err(), "{wrong:?}");
        }
    }
}
