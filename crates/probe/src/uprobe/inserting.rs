//! The header that names the trace, inserted into requests as they are sent, for processes that were told of.
//!
//! A connection that such a process makes is marked as it is made; those that it has are looked up among its descriptors.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, Object, OpenObject};
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use super::skeleton::types::tandem_marked_socket;
use crate::features::{self, FeatureId, State};
use crate::kernel::{Plain, bytes_of};

/// Programs of `bpf/uprobe.bpf.c`: those on the root of control groups, and the one on messages.
const ON_GROUP: [&str; 2] = ["on_marked_create", "on_marked_connect"];
const ON_MESSAGES: &str = "on_marked_message";

/// What inserts headers, attached. Dropping it, or dying, detaches it.
pub(super) struct Inserting {
    processes: MapHandle,
    sockets: MapHandle,
    connections: MapHandle,
    _links: Vec<Link>,
}

impl Inserting {
    /// Leaves the programs out of an object before it is loaded.
    pub(super) fn leave_out(open: &mut OpenObject) {
        let own = |name: &str| name == ON_MESSAGES || ON_GROUP.contains(&name);
        open.progs_mut()
            .filter(|program| program.name().to_str().is_some_and(own))
            .for_each(|mut program| program.set_autoload(false));
    }

    /// Attaches them where the kernel has what it takes.
    pub(super) fn attach(object: &mut Object) -> Result<Self, String> {
        let root = match features::state_of(FeatureId::CgroupV2) {
            State::Available(place) => place,
            State::Missing { why, remedy } => return Err(format!("{why}; {remedy}")),
        };
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("the kernel refused {what}: {error}");
        let group = File::open(&root).map_err(|error| failed(&root, &error))?;
        let map = |name: &str| {
            let found = object.maps().find(|map| map.name() == name).map(|map| MapHandle::try_from(&map));
            found.ok_or_else(|| format!("there is no map {name}"))?.map_err(|error| failed(name, &error))
        };
        let (processes, connections) = (map("marking_processes")?, map("marked_connections")?);
        let mut links = Vec::new();
        for program in object.progs_mut() {
            let Some(name) = program.name().to_str() else { continue };
            if name == ON_MESSAGES {
                let attached = program.attach_sockmap(connections.as_fd().as_raw_fd());
                attached.map_err(|error| failed(name, &error))?;
            } else if ON_GROUP.contains(&name) {
                links.push(program.attach_cgroup(group.as_raw_fd()).map_err(|error| failed(name, &error))?);
            }
        }
        Ok(Self { processes, sockets: map("marked_sockets")?, connections, _links: links })
    }

    /// Begins with a process.
    pub(super) fn watch(&self, pid: u32) {
        // Where there is no room, its requests go as they are.
        let _ = self.processes.update(&pid.to_ne_bytes(), &1u32.to_ne_bytes(), MapFlags::ANY);
        for connection in made_by(pid).unwrap_or_default() {
            let Ok(cookie) = sockopt::socket_cookie(&connection) else { continue };
            let descriptor = connection.as_raw_fd();
            // One that has been closed meanwhile needs no mark.
            let marked = tandem_marked_socket { cookie, ..tandem_marked_socket::default() };
            let _ = self.sockets.update(&descriptor.to_ne_bytes(), bytes_of(&marked), MapFlags::ANY);
            let value = u64::from(descriptor.unsigned_abs());
            let _ = self.connections.update(&cookie.to_ne_bytes(), &value.to_ne_bytes(), MapFlags::ANY);
        }
    }

    /// Ends it.
    pub(super) fn unwatch(&self, pid: u32) {
        let _ = self.processes.delete(&pid.to_ne_bytes());
    }
}

/// The TCP connections that a process has made itself: not those to ports at which it listens.
fn made_by(pid: u32) -> Option<Vec<OwnedFd>> {
    let process = Pid::from_raw(pid.cast_signed())?;
    let process = rustix::process::pidfd_open(process, PidfdFlags::empty()).ok()?;
    let mut served = HashSet::new();
    let mut connections: Vec<(u16, OwnedFd)> = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        let is_socket =
            fs::read_link(entry.path()).is_ok_and(|what| what.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()).filter(|_| is_socket) else {
            continue;
        };
        let Ok(socket) = rustix::process::pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else { continue };
        let internet = [AddressFamily::INET, AddressFamily::INET6];
        let is_tcp = sockopt::socket_type(&socket) == Ok(SocketType::STREAM)
            && sockopt::socket_domain(&socket).is_ok_and(|domain| internet.contains(&domain));
        let own = rustix::net::getsockname(&socket).ok().and_then(|own| SocketAddr::try_from(own).ok());
        let Some(own) = own.filter(|_| is_tcp) else { continue };
        match sockopt::socket_acceptconn(&socket) {
            Ok(true) => drop(served.insert(own.port())),
            _ => connections.push((own.port(), socket)),
        }
    }
    connections.retain(|(port, _)| !served.contains(port));
    Some(connections.into_iter().map(|(_, socket)| socket).collect())
}

#[expect(unsafe_code, reason = "generated from a C structure that has no padding")]
// SAFETY: integers only (uprobe.h); the one that is an enumeration in C is transparent.
unsafe impl Plain for tandem_marked_socket {}
