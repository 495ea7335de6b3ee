//! Who has connected.
//!
//! Every user of a machine can connect to its loopback addresses, but what a page shows is its owner's alone. The kernel
//! says whose the socket at the other end is (`/proc/net/tcp`): the owner's and root's may read. A page at an address that
//! others reach is for whoever knows its token (`token.rs`).

use std::fs;
use std::net::{IpAddr, SocketAddr};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::TcpListener;

/// Whether who has connected may read.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// He may.
    pub allowed: bool,
}

impl Connected<IncomingStream<'_, TcpListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        let ours = stream.io().local_addr();
        let allowed = ours.is_ok_and(|ours| !ours.ip().is_loopback() || owner_is_ours(*stream.remote_addr(), ours));
        Self { allowed }
    }
}

fn owner_is_ours(theirs: SocketAddr, ours: SocketAddr) -> bool {
    let table = if ours.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let owner = fs::read_to_string(table).ok().and_then(|table| owner(&table, theirs, ours));
    owner.is_some_and(|owner| readers().any(|reader| reader == owner))
}

/// Who runs us, root, and who became root to run us.
fn readers() -> impl Iterator<Item = u32> {
    let own = rustix::process::geteuid();
    let before = std::env::var("SUDO_UID").ok().filter(|_| own.is_root()).and_then(|number| number.parse().ok());
    [0, own.as_raw()].into_iter().chain(before)
}

/// The user of the connected socket that is at one address and has the other at its other end.
fn owner(table: &str, at: SocketAddr, other: SocketAddr) -> Option<u32> {
    let [at, other] = [at, other].map(written);
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        if fields.next()? != at || fields.next()? != other {
            return None;
        }
        fields.nth(4)?.parse().ok()
    })
}

/// As the kernel writes an address: words of four bytes in the machine's order.
fn written(address: SocketAddr) -> String {
    let words = |bytes: &[u8]| -> String {
        bytes
            .chunks_exact(4)
            .map(|word| format!("{:08X}", u32::from_ne_bytes([word[0], word[1], word[2], word[3]])))
            .collect()
    };
    let host = match address.ip() {
        IpAddr::V4(host) => words(&host.octets()),
        IpAddr::V6(host) => words(&host.octets()),
    };
    format!("{host}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    /// Scenario: connections of this very process, by both protocols. Guarantees: the kernel's tables are read as they are written.
    #[test]
    fn the_kernel_says_whose_a_connection_is() {
        for (address, table) in [("127.0.0.1:0", "/proc/net/tcp"), ("[::1]:0", "/proc/net/tcp6")] {
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let ours = listener.local_addr().expect("an address");
            let client = TcpStream::connect(ours).expect("a connection");
            let theirs = client.local_addr().expect("an address");
            let table = fs::read_to_string(table).expect("the kernel's table");
            assert_eq!(owner(&table, theirs, ours), Some(rustix::process::geteuid().as_raw()), "{table}");
            assert_eq!(owner(&table, SocketAddr::new(theirs.ip(), 1), ours), None);
            assert!(owner_is_ours(theirs, ours));
        }
    }
}
