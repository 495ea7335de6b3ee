//! Who has connected.
//!
//! Every user of a machine can connect to its loopback addresses, but what a page shows is its owner's alone. The kernel
//! says whose the socket at the other end is (`socket_owner.rs`): the owner's and root's may read. A page at an address that
//! others reach is for whoever knows its token (`token.rs`).

use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::TcpListener;

use crate::socket_owner;

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
    socket_owner::owner(theirs, ours).is_some_and(|owner| readers().any(|reader| reader == owner))
}

/// Who runs us, root, and who became root to run us.
fn readers() -> impl Iterator<Item = u32> {
    let own = rustix::process::geteuid();
    let before = std::env::var("SUDO_UID").ok().filter(|_| own.is_root()).and_then(|number| number.parse().ok());
    [0, own.as_raw()].into_iter().chain(before)
}
