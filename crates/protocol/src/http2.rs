//! HTTP/2 with prior knowledge, and gRPC on it.
//!
//! Headers are compressed against tables that both ends keep: one header block that was not seen makes the rest of the
//! connection unreadable. So a connection of which bytes are missing where a header could have been is given up.

use std::collections::HashMap;

use fluke_hpack::Decoder;

use crate::connection::Found;
use crate::exchange::{Open, Operation, Side};
use crate::grpc;
use crate::http1;
use crate::parser::{Finished, Input, OPEN_LIMIT, Parser, Step};
use crate::text;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
/// Bytes of one header block, with its continuations.
const BLOCK_LIMIT: usize = 32 << 10;
/// Entries of a table of headers may take so much, whatever the ends agree on beyond it.
const TABLE_LIMIT: usize = 64 << 10;
/// Headers of a block that are looked at.
const HEADER_LIMIT: usize = 256;

mod frame {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PUSH_PROMISE: u8 = 5;
    pub(super) const CONTINUATION: u8 = 9;
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
    pub(super) const PADDED: u8 = 8;
    pub(super) const PRIORITY: u8 = 0x20;
}

pub(crate) fn detect(bytes: &[u8]) -> Found {
    if bytes.starts_with(PREFACE) {
        Found::Protocol(Box::new(Http2::default()), Side::Client)
    } else if PREFACE.starts_with(bytes) {
        Found::More
    } else {
        detect_settings(bytes)
    }
}

/// A server need not wait for the client's first word: its own is a frame of settings, each of a number that is known.
fn detect_settings(bytes: &[u8]) -> Found {
    const SETTINGS_LIMIT: usize = 32 * SETTING;
    const SETTING: usize = 6;
    const HIGHEST: u16 = 0x10;
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEADER>() else {
        return if [0, 0].starts_with(&bytes[..bytes.len().min(2)]) { Found::More } else { Found::Nothing };
    };
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    if head[3..] != [frame::SETTINGS, 0, 0, 0, 0, 0] || length > SETTINGS_LIMIT || !length.is_multiple_of(SETTING) {
        return Found::Nothing;
    }
    let known = |setting: &[u8]| (1..=HIGHEST).contains(&u16::from_be_bytes([setting[0], setting[1]]));
    match rest.get(..length) {
        Some(settings) if settings.chunks_exact(SETTING).all(known) => {
            Found::Protocol(Box::new(Http2::default()), Side::Server)
        }
        Some(_) => Found::Nothing,
        None => Found::More,
    }
}

#[derive(Default)]
pub(crate) struct Http2 {
    begun: bool,
    streams: HashMap<u32, Stream>,
    client: Half,
    server: Half,
}

struct Half {
    decoder: Decoder<'static>,
    /// A header block whose end has not come: its stream, whether that ends with it, when it began, and its bytes.
    block: Option<Block>,
    /// A frame with data is being left out; with this stream's end, if any.
    ending: Option<u32>,
}

impl Default for Half {
    fn default() -> Self {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(TABLE_LIMIT);
        Self { decoder, block: None, ending: None }
    }
}

struct Block {
    stream: u32,
    ends: bool,
    promise: bool,
    open: Open,
    bytes: Vec<u8>,
}

struct Stream {
    open: Open,
    grpc: bool,
    status: Option<u16>,
}

/// What is looked at of a header block.
#[derive(Default)]
struct Headers {
    method: Option<String>,
    path: Option<String>,
    authority: Option<String>,
    status: Option<u16>,
    content_type: Option<String>,
    user_agent: Option<String>,
    grpc_status: Option<String>,
    traceparent: Option<Vec<u8>>,
}

impl Parser for Http2 {
    fn step(&mut self, from: Side, input: &Input<'_>, out: &mut Finished) -> Step {
        let bytes = input.bytes;
        if from == Side::Client && !self.begun {
            if bytes.len() < PREFACE.len() {
                return if PREFACE.starts_with(bytes) { Step::More } else { Step::GiveUp };
            }
            self.begun = true;
            return if bytes.starts_with(PREFACE) { Step::Take(PREFACE.len() as u64) } else { Step::GiveUp };
        }
        let Some(head) = bytes.first_chunk::<FRAME_HEADER>() else { return Step::More };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let count = (FRAME_HEADER + length) as u64;
        let half = if from == Side::Client { &mut self.client } else { &mut self.server };
        if half.block.is_some() && kind != frame::CONTINUATION {
            return Step::GiveUp;
        }
        match kind {
            frame::DATA => {
                if flags & frame::END_STREAM != 0 && from == Side::Server {
                    if count <= bytes.len() as u64 {
                        self.ended(stream, input.time, out);
                    } else {
                        half.ending = Some(stream);
                    }
                }
                Step::Take(count)
            }
            frame::HEADERS | frame::CONTINUATION | frame::PUSH_PROMISE => {
                if length > BLOCK_LIMIT {
                    return Step::GiveUp;
                }
                let Some(payload) = bytes.get(FRAME_HEADER..FRAME_HEADER + length) else { return Step::More };
                match self.headers(from, kind, flags, stream, payload, input, out) {
                    Some(()) => Step::Take(count),
                    None => Step::GiveUp,
                }
            }
            frame::RST_STREAM => {
                if let Some(mut reset) = self.streams.remove(&stream) {
                    if reset.grpc {
                        reset.open.put("rpc.response.status_code", "CANCELLED");
                        reset.open.fail("CANCELLED", None);
                    } else if reset.status.is_none() {
                        reset.open.fail("_OTHER", None);
                    }
                    out.push(reset.open.finish(input.time));
                }
                Step::Take(count)
            }
            frame::SETTINGS => {
                if length > 4096 || !length.is_multiple_of(6) {
                    return Step::GiveUp;
                }
                match bytes.len() < FRAME_HEADER + length {
                    true => Step::More,
                    false => Step::Take(count),
                }
            }
            0..=0x20 if length <= 1 << 20 => Step::Take(count),
            _ => Step::GiveUp,
        }
    }

    fn skipped(&mut self, from: Side, time: u64, out: &mut Finished) {
        let half = if from == Side::Client { &mut self.client } else { &mut self.server };
        if let Some(stream) = half.ending.take() {
            self.ended(stream, time, out);
        }
    }

    fn resumed(&mut self, _from: Side, _time: u64, _out: &mut Finished) -> bool {
        false
    }

    fn closed(&mut self, _time: u64, _out: &mut Finished) {
        self.streams.clear();
    }

    fn oldest(&self) -> Option<u64> {
        self.streams.values().map(|stream| stream.open.exchange.begun).min()
    }

    fn both_at_once(&self) -> bool {
        true
    }
}

impl Http2 {
    #[expect(clippy::too_many_arguments, reason = "the fields of a frame")]
    fn headers(
        &mut self,
        from: Side,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        input: &Input<'_>,
        out: &mut Finished,
    ) -> Option<()> {
        let half = if from == Side::Client { &mut self.client } else { &mut self.server };
        let mut payload = payload;
        if kind != frame::CONTINUATION {
            if flags & frame::PADDED != 0 {
                let (&padding, rest) = payload.split_first()?;
                payload = &rest[..rest.len().checked_sub(padding.into())?];
            }
            if kind == frame::HEADERS && flags & frame::PRIORITY != 0 {
                payload = payload.get(5..)?;
            }
            if kind == frame::PUSH_PROMISE {
                payload = payload.get(4..)?;
            }
            half.block = Some(Block {
                stream,
                ends: flags & frame::END_STREAM != 0 && kind == frame::HEADERS,
                promise: kind == frame::PUSH_PROMISE,
                open: input.open(Operation::Http),
                bytes: Vec::new(),
            });
        }
        let block = half.block.as_mut().filter(|block| block.stream == stream)?;
        if block.bytes.len() + payload.len() > BLOCK_LIMIT {
            return None;
        }
        block.bytes.extend_from_slice(payload);
        if flags & frame::END_HEADERS == 0 {
            return Some(());
        }
        let block = half.block.take()?;
        let headers = decode(&mut half.decoder, &block.bytes)?;
        if block.promise {
            return Some(());
        }
        match from {
            Side::Client => self.request(block, headers),
            Side::Server => self.response(&block, &headers, input, out),
        }
    }

    fn request(&mut self, block: Block, headers: Headers) -> Option<()> {
        let (Some(method), Some(path)) = (headers.method, headers.path) else {
            return Some(()); // trailers, or CONNECT
        };
        if self.streams.len() >= OPEN_LIMIT {
            return None;
        }
        let Block { stream, mut open, .. } = block;
        let grpc = headers.content_type.is_some_and(|kind| kind.starts_with("application/grpc"));
        if grpc {
            open.exchange.operation = Operation::Grpc;
            open.put("rpc.system.name", "grpc");
            open.put("rpc.method", text::limited(path.trim_start_matches('/'), 256));
            if let Some(authority) = &headers.authority {
                http1::describe_server(&mut open, authority, 80);
            }
        } else {
            http1::describe(&mut open, &method, &path, headers.authority.as_deref(), headers.user_agent.as_deref());
            open.put("network.protocol.version", "2");
        }
        open.exchange.parent = headers.traceparent.as_deref().and_then(text::traceparent);
        self.streams.insert(stream, Stream { open, grpc, status: None });
        Some(())
    }

    fn response(&mut self, block: &Block, headers: &Headers, input: &Input<'_>, out: &mut Finished) -> Option<()> {
        let Some(stream) = self.streams.get_mut(&block.stream) else { return Some(()) };
        if input.role == Side::Server {
            stream.open.exchange.thread = input.thread; // that answers
        }
        if let Some(status) = headers.status.filter(|&status| status >= 200) {
            stream.status = Some(status);
            if !stream.grpc {
                stream.open.put("http.response.status_code", i64::from(status));
                if status >= if stream.open.exchange.role == Side::Client { 400 } else { 500 } {
                    stream.open.fail(status.to_string(), None);
                }
            }
        }
        if let Some(status) = &headers.grpc_status {
            let code = status.parse().ok().and_then(grpc::known_code).unwrap_or("UNKNOWN");
            stream.open.put("rpc.response.status_code", code);
            let failed = match stream.open.exchange.role {
                Side::Client => code != "OK",
                Side::Server => grpc::is_server_fault(code),
            };
            if failed {
                stream.open.fail(code, None);
            }
        }
        if block.ends {
            self.ended(block.stream, input.time, out);
        }
        Some(())
    }

    /// The server has said all about a stream.
    fn ended(&mut self, stream: u32, time: u64, out: &mut Finished) {
        if let Some(stream) = self.streams.remove(&stream) {
            out.push(stream.open.finish(time));
        }
    }
}

/// The headers of a block that anybody wants to know; `None`: it is not one, or refers to what was not seen.
fn decode(decoder: &mut Decoder<'static>, block: &[u8]) -> Option<Headers> {
    let mut headers = Headers::default();
    let mut count = 0;
    decoder
        .decode_with_cb(block, |name, value| {
            count += 1;
            if count > HEADER_LIMIT {
                return;
            }
            let text = || Some(text::lossy(&value));
            match name.as_ref() {
                b":method" => headers.method = text(),
                b":path" => headers.path = text(),
                b":authority" => headers.authority = text(),
                b":status" => headers.status = text().and_then(|status| status.parse().ok()),
                b"content-type" => headers.content_type = text(),
                b"user-agent" => headers.user_agent = text(),
                b"grpc-status" => headers.grpc_status = text(),
                b"traceparent" => headers.traceparent = Some(value.into_owned()),
                _ => {}
            }
        })
        .ok()?;
    Some(headers)
}
