//! The page that people look at, and the HTTP API that it (or a script) reads: what is in a store, and what is computed from it.
//!
//! Always holds: only reading, but for one request that whoever started the page must have allowed (`host.rs`); no answer to a request whose `Host` is a name that somebody else's DNS could point at us
//! (see `guard.rs`), nor without its token where others can reach it (`token.rs`); no script or style but the embedded ones; queries run beside the requests' thread and are limited.

mod api;
mod caller;
mod columns;
mod compare;
mod drawing;
mod facets;
mod flame;
mod guard;
mod health;
mod host;
mod map;
mod metrics;
mod overview;
mod page;
mod routes;
mod serve;
mod socket_owner;
mod software;
mod token;

use std::net::SocketAddr;

pub use host::{Act, Advice, Function, Host, UnderWay};
pub use serve::{Server, serve, serve_with};

/// Where the page is when nobody says otherwise: this machine only.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8317);

/// Reads an address: `127.0.0.1:8317`, `[::1]:0`, `localhost:8317`, or a port alone, which means this machine only.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    if let Ok(port) = port.parse() {
        return Ok(SocketAddr::new(DEFAULT_ADDRESS.ip(), port));
    }
    text.parse()
        .map_err(|_| "write an address and a port, for example 127.0.0.1:8317 (port 0: any free one)".to_owned())
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    /// Somebody else has the port, or the address is not this machine's.
    #[error("cannot show the page at {address}: {why}; choose another address (port 0: any free one)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        why: std::io::Error,
    },
    /// No random word for a page that others can reach.
    #[error("cannot make a token for the page: {0}")]
    Token(std::io::Error),
    /// No thread or no event loop.
    #[error("cannot start the page's thread: {0}")]
    Thread(std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_on_this_machine_unless_said_otherwise() {
        for text in ["8317", ":8317", "localhost:8317", " 127.0.0.1:8317 "] {
            assert_eq!(parse_address(text), Ok(DEFAULT_ADDRESS), "{text}");
        }
        assert_eq!(parse_address("0.0.0.0:80").map(|address| address.to_string()), Ok("0.0.0.0:80".into()));
        assert_eq!(parse_address("[::1]:0").map(|address| address.to_string()), Ok("[::1]:0".into()));
        for text in ["", "localhost", "example.com:80", "70000"] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }
}
