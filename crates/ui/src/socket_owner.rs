//! Whose a connected TCP socket of this machine is.
//!
//! The kernel is asked about the one socket (`sock_diag(7)`): to read `/proc/net/tcp` takes milliseconds whenever somebody connects, for the kernel looks through
//! its whole table. Where a sandbox forbids the question, the table is read.
//!
//! Always holds: a socket that nobody has open any more is nobody's. The kernel shows root as its user, which would let in who
//! connects, asks and closes at once.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// The user of the connected socket that is at one address and has the other at its other end.
pub fn owner(at: SocketAddr, other: SocketAddr) -> Option<u32> {
    ask(at, other).unwrap_or_else(|_| {
        let table = if at.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
        in_table(&fs::read_to_string(table).ok()?, at, other)
    })
}

/// Of `linux/sock_diag.h`, `linux/netlink.h` and `linux/inet_diag.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NO_COOKIE: [u8; 8] = [0xff; 8];
const TCP: u8 = 6;
/// Sizes of `nlmsghdr` and of `inet_diag_sockid`.
const HEADER: usize = 16;
const SOCKET_ID: usize = 48;
/// `nlmsghdr` and `inet_diag_req_v2`.
const REQUEST: usize = HEADER + 8 + SOCKET_ID;
/// Where in an answer (`nlmsghdr` and `inet_diag_msg`) the socket is named, and behind it the user and the inode.
const ANSWERED_ID: usize = HEADER + 4;
const USER: usize = ANSWERED_ID + SOCKET_ID + 12;
const INODE: usize = USER + 4;

/// `Ok(None)`: the kernel knows no such socket. An error: it could not be asked.
fn ask(at: SocketAddr, other: SocketAddr) -> Result<Option<u32>, Errno> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
    let id = socket_id(at, other);
    sendto(&socket, &request(at, &id), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 512];
    // It is there at once: the kernel answers while it is asked.
    let (length, _) = recv(&socket, &mut answer, RecvFlags::DONTWAIT)?;
    let answer = &answer[..length];
    let kind = answer.get(4..6).map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    match kind {
        Some(SOCK_DIAG_BY_FAMILY) => Ok(user(answer, &id)),
        Some(NLMSG_ERROR) if number(answer, HEADER) == Some(Errno::NOENT.raw_os_error().wrapping_neg() as u32) => {
            Ok(None)
        }
        _ => Err(Errno::PROTO),
    }
}

/// `inet_diag_sockid` without what the kernel adds: ports, then addresses, in the network's order.
fn socket_id(at: SocketAddr, other: SocketAddr) -> [u8; SOCKET_ID] {
    let mut id = [0; SOCKET_ID];
    for (index, address) in [at, other].into_iter().enumerate() {
        id[2 * index..][..2].copy_from_slice(&address.port().to_be_bytes());
        let host = &mut id[4 + 16 * index..][..16];
        match address.ip() {
            IpAddr::V4(ip) => host[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => host.copy_from_slice(&ip.octets()),
        }
    }
    id[SOCKET_ID - NO_COOKIE.len()..].copy_from_slice(&NO_COOKIE);
    id
}

fn request(at: SocketAddr, id: &[u8; SOCKET_ID]) -> [u8; REQUEST] {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let mut request = [0; REQUEST];
    request[..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    request[HEADER] = family.as_raw() as u8;
    request[HEADER + 1] = TCP;
    // Sockets in any state: what an answer is worth its inode says.
    request[HEADER + 4..HEADER + 8].copy_from_slice(&u32::MAX.to_ne_bytes());
    request[REQUEST - SOCKET_ID..].copy_from_slice(id);
    request
}

/// The user that an answer names, if it is about the socket that was asked about: without one the kernel tells of a listening one.
fn user(answer: &[u8], id: &[u8; SOCKET_ID]) -> Option<u32> {
    // Ports and addresses; the interface and the cookie are the kernel's.
    let named = answer.get(ANSWERED_ID..ANSWERED_ID + SOCKET_ID)?;
    let is_it = named[..36] == id[..36];
    let is_open = number(answer, INODE)? != 0;
    number(answer, USER).filter(|_| is_it && is_open)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The same from the text of the kernel's table.
fn in_table(table: &str, at: SocketAddr, other: SocketAddr) -> Option<u32> {
    let [at, other] = [at, other].map(written);
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        if fields.next()? != at || fields.next()? != other {
            return None;
        }
        let user = fields.nth(4)?.parse().ok()?;
        let inode = fields.nth(1)?;
        (inode != "0").then_some(user)
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
    use std::net::{TcpListener, TcpStream};

    /// Scenario: connections of this very process, by both protocols. Guarantees: question and table have the same answer, and none
    /// about a socket that is not there, that listens, or that its program has closed.
    #[test]
    fn the_kernel_says_whose_a_connection_is() {
        let own = rustix::process::geteuid().as_raw();
        for (address, table) in [("127.0.0.1:0", "/proc/net/tcp"), ("[::1]:0", "/proc/net/tcp6")] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let ours = listener.local_addr().expect("an address");
            let client = TcpStream::connect(ours).expect("a connection");
            let theirs = client.local_addr().expect("an address");
            let read = |at, other| in_table(&fs::read_to_string(table).expect("the kernel's table"), at, other);
            let nobody = SocketAddr::new(theirs.ip(), 1);
            // A sandbox, or a kernel without the module, does not answer.
            if let Ok(asked) = ask(theirs, ours) {
                assert_eq!(asked, Some(own), "{address}");
                assert_eq!(ask(nobody, ours), Ok(None));
                assert_eq!(ask(ours, nobody), Ok(None), "that one listens");
            }
            assert_eq!(read(theirs, ours), Some(own), "{table}");
            assert_eq!(read(nobody, ours), None);
            drop(client);
            assert_eq!((owner(theirs, ours), read(theirs, ours)), (None, None), "nobody has it open any more");
        }
    }
}
