//! What programs say on their sockets, as exchanges: a request, its response, and their times.
//!
//! A [`Connection`] is fed with what one socket has sent and received, in whatever pieces it was seen, with holes where
//! bytes were not copied. It finds out by the bytes themselves which protocol they are of, and leaves alone what it does
//! not know. Nothing here trusts its input: memory is bounded, and what cannot be made sense of ends the parser of its
//! connection, never the program.
//!
//! What holds for all parsers: arguments, bodies, passwords and literals are not kept; texts of queries pass through
//! [`query`] first; attributes have the names of OpenTelemetry's semantic conventions.

mod connection;
pub mod dns;
mod exchange;
pub mod grpc;
pub mod http;
mod http1;
mod http2;
mod kafka;
mod mongodb;
mod mysql;
mod parser;
mod postgresql;
pub mod query;
mod reader;
mod redis;
mod seen;
mod sql;
mod stream;
mod text;

pub use connection::{Connection, Fate};
pub use exchange::{Exchange, Operation, Parent, Role, Side, Value};
pub use seen::{Given, Seen, Transport};
pub use stream::{Direction, Segment};
