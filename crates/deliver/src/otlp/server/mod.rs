//! Takes OTLP from others: gRPC and HTTP, on every port both, told apart by the content type.
//!
//! What arrives goes to a [`Receiver`] as protobuf bytes, whatever it was on the wire: [`body`] reads it within limits and
//! unpacks it, [`from_json`] turns JSON into protobuf, [`answer`] says in the sender's own protocol what became of it. Nothing is
//! lost silently: what is not taken is told to the sender, and counted by its cause.

mod answer;
mod body;
pub mod from_json;
mod listen;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use crate::Signal;
pub use listen::Server;

/// Takes requests. Called from the thread that serves, or from one beside it: nothing here may block for long.
pub trait Receiver: Send + Sync + 'static {
    /// Takes a request in protobuf form, all of it or what is good of it. It is the receiver that counts what it refuses here.
    fn receive(&self, signal: Signal, request: Bytes) -> Result<Accepted, Refused>;

    /// Counts a request (or connection) that did not get as far as [`Self::receive`], by its cause.
    fn count(&self, cause: &'static str);
}

/// What was not taken of a request that was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Spans, data points or log records that were rejected.
    pub rejected: u64,
    /// Why.
    pub message: String,
}

/// Nothing of a request was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not what it should be. Sending it again does not help.
    Malformed(String),
    /// There is no room now.
    Full,
    /// The receiver ends.
    Stopped,
}

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct Listening {
    /// Addresses with their ports (port 0: any free one).
    pub addresses: Vec<String>,
    /// What senders may ask for.
    pub limits: Limits,
    /// With TLS, and with whose certificate.
    pub tls: Option<Tls>,
}

/// What senders may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest message by gRPC, unpacked, bytes.
    pub grpc_message: usize,
    /// Longest body by HTTP, unpacked, bytes.
    pub http_body: usize,
    /// All messages together that are being read or worked on, bytes.
    pub memory: usize,
    /// Connections at once.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { grpc_message: 4 << 20, http_body: 20 << 20, memory: 128 << 20, connections: 1024 }
    }
}

/// Files in PEM form.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Our certificate, and what leads from it to one that senders know.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs the certificates that senders must have; nothing: they need none.
    pub client_ca: Option<PathBuf>,
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address.
    #[error("cannot listen for OTLP at {address}: {source}; choose another address (port 0: any free one)")]
    Listen {
        /// What was asked for.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// A certificate or key.
    #[error("cannot use {} for TLS: {problem}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The TLS library.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A thread or the runtime.
    #[error("cannot start to listen for OTLP: {0}")]
    Start(#[source] io::Error),
}

/// When a sender may try again that found no room.
const RETRY: Duration = Duration::from_secs(1);

/// Why a request is not taken, as both protocols say it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    cause: &'static str,
    http: u16,
    grpc: u8,
    /// The sender may try again, after this time.
    retry: Option<Duration>,
    message: String,
}

impl Refusal {
    fn new(cause: &'static str, http: u16, grpc: u8, message: impl Into<String>) -> Self {
        Self { cause, http, grpc, retry: None, message: message.into() }
    }

    fn malformed(message: impl Into<String>) -> Self {
        Self::new("malformed", 400, INVALID_ARGUMENT, message)
    }

    fn too_large(limit: usize) -> Self {
        let message = format!("the message is longer than {limit} bytes");
        Self::new("too_large", 413, RESOURCE_EXHAUSTED, message)
    }

    fn busy(cause: &'static str, message: &str) -> Self {
        Self { retry: Some(RETRY), ..Self::new(cause, 429, RESOURCE_EXHAUSTED, message) }
    }
}

/// Codes of gRPC.
const INVALID_ARGUMENT: u8 = 3;
const DEADLINE_EXCEEDED: u8 = 4;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
