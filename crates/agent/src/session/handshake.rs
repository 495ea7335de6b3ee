//! The hand-shake: a program connects, sends its memory, and gets the kernel's accounts.

use std::fs;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use record::Hello;
use record::layout::{HELLO, LAYOUT_VERSION, WELCOME, WELCOME_MAGIC};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use super::process;
use crate::AccountMap;
use crate::discover::is_same_file;

/// Why the agent's socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another agent answers there.
    #[error("another agent listens at {0}; stop it, or choose another socket with --socket")]
    InUse(PathBuf),
    /// The folder or the socket cannot be made.
    #[error("cannot listen at {path}: {source}{hint}", hint = hint(.source))]
    System {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            " (run it as root, or choose a socket of your own with --socket and set TANDEM_SOCKET for the programs)"
        }
        ErrorKind::InvalidInput => " (the path is too long for a socket)",
        _ => "",
    }
}

/// The agent's socket. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// Listens at a path; a socket that nobody listens at any more is replaced.
    pub(crate) fn bind(path: &Path) -> Result<Self, ListenError> {
        let failed = |source: io::Error| ListenError::System { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let address = SocketAddrUnix::new(path).map_err(|errno| failed(errno.into()))?;
        let new = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
                .map_err(|errno| failed(errno.into()))
        };
        let socket = new()?;
        match rustix::net::bind(&socket, &address) {
            Ok(()) => {}
            Err(Errno::ADDRINUSE) => {
                let other = || failed(io::Error::new(ErrorKind::AlreadyExists, "something else is there"));
                // To connect to a file is refused as if it were a socket at which nobody listens.
                if !fs::symlink_metadata(path).map_err(failed)?.file_type().is_socket() {
                    return Err(other());
                }
                match rustix::net::connect(&new()?, &address) {
                    Err(Errno::CONNREFUSED) => {}
                    Err(Errno::PROTOTYPE | Errno::NOTSOCK) => return Err(other()),
                    _ => return Err(ListenError::InUse(path.to_owned())),
                }
                fs::remove_file(path).map_err(failed)?;
                rustix::net::bind(&socket, &address).map_err(|errno| failed(errno.into()))?;
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        let listener = Self { socket, path: path.to_owned() };
        // Whoever may run a woven program may introduce it; the folder decides who reaches the socket.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(failed)?;
        rustix::net::listen(&listener.socket, 128).map_err(|errno| failed(errno.into()))?;
        Ok(listener)
    }

    /// Whether a process may be taken by itself: it says nothing of where its agent listens, or that it is here.
    pub(crate) fn is_for(&self, pid: u32) -> bool {
        names_agent(pid, &self.path).unwrap_or(true)
    }

    /// The next program that has connected, if any.
    pub(crate) fn accept(&self) -> Option<OwnedFd> {
        rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok()
    }
}

/// Whether a process was told that its agent is the one at this socket; `None`: it was told nothing.
pub(crate) fn names_agent(pid: u32, socket: &Path) -> Option<bool> {
    let environment = process::told(pid, "environ");
    let told = environment.split('\0').find_map(|variable| variable.strip_prefix("TANDEM_SOCKET="));
    let told = told.map(Path::new).filter(|told| !told.as_os_str().is_empty())?;
    // In a container the same socket may have another path.
    let seen = Path::new("/proc").join(pid.to_string()).join("root");
    let seen = seen.join(told.strip_prefix("/").unwrap_or(told));
    Some(told == socket || is_same_file(&seen, socket) == Some(true))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// What came from a connection.
#[derive(Debug)]
pub(crate) enum Greeting {
    /// Nothing yet.
    Waiting,
    /// The program's memory, and what it says of itself.
    Hello(OwnedFd, Hello),
    /// Somebody asks how the agent keeps within its budget.
    Question,
    /// The program could not make any, for this reason.
    Without(Errno, Hello),
    /// Nonsense.
    Over(&'static str),
    /// The end, and nothing was said: another agent that wanted to know whether somebody listens, a program that has ended.
    Silence,
}

/// Reads the program's message.
pub(crate) fn receive(connection: BorrowedFd<'_>) -> Greeting {
    let mut message = [0; HELLO.size];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = match rustix::net::recvmsg(connection, &mut [IoSliceMut::new(&mut message)], &mut control, flags) {
        Ok(received) => received,
        Err(Errno::AGAIN | Errno::INTR) => return Greeting::Waiting,
        Err(_) => return Greeting::Over("hello_unreadable"),
    };
    if received.bytes == 0 {
        return Greeting::Silence;
    }
    if message.get(..received.bytes) == Some(QUESTION) {
        return Greeting::Question;
    }
    let Some(hello) = message.get(..received.bytes).and_then(Hello::parse) else {
        return Greeting::Over("hello_malformed");
    };
    let memory = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    match memory {
        Some(memory) => Greeting::Hello(memory, hello),
        None if hello.refused != 0 => Greeting::Without(Errno::from_raw_os_error(hello.refused as i32), hello),
        None => Greeting::Over("hello_without_memory"),
    }
}

/// What a person's command says at the agent's socket.
const QUESTION: &[u8] = b"TDQ?budget";
/// Longest answer, bytes: what a socket takes in one message.
const LONGEST_ANSWER: usize = 128 << 10;

/// Answers a question; one who does not wait for it is no concern.
pub(crate) fn answer(connection: BorrowedFd<'_>, text: &str) {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let _ = rustix::net::send(connection, text.as_bytes(), flags);
}

/// Asks the agent at a socket how it keeps within its budget; the answer is JSON.
pub fn ask(socket: &Path) -> io::Result<String> {
    let flags = SocketFlags::CLOEXEC;
    let connection = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let patience = Some(std::time::Duration::from_secs(10));
    rustix::net::sockopt::set_socket_timeout(&connection, rustix::net::sockopt::Timeout::Recv, patience)?;
    rustix::net::connect(&connection, &SocketAddrUnix::new(socket)?)?;
    rustix::net::send(&connection, QUESTION, SendFlags::NOSIGNAL)?;
    let mut answer = vec![0; LONGEST_ANSWER];
    let (received, _) = rustix::net::recv(&connection, &mut answer[..], RecvFlags::empty())?;
    answer.truncate(received);
    if answer.is_empty() {
        let why = "it does not answer: only root and who runs the agent may ask, and it may be an older one";
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    String::from_utf8(answer).map_err(io::Error::other)
}

/// Answers; a program that has gone away meanwhile is no concern.
pub(crate) fn welcome(connection: BorrowedFd<'_>, accounts: Option<&AccountMap>) {
    let mut message = [0; WELCOME.size];
    let mut put = |name, number: u32| message[WELCOME.at(name)..][..4].copy_from_slice(&number.to_le_bytes());
    put("magic", WELCOME_MAGIC);
    put("layout_version", LAYOUT_VERSION);
    put("account_count", accounts.map_or(0, |accounts| accounts.slots));
    let descriptors: Vec<_> = accounts.iter().map(|accounts| accounts.fd.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let _ = rustix::net::sendmsg(connection, &[IoSlice::new(&message)], &mut control, flags);
}

/// A descriptor of the very process at the other end, where the kernel has that (Linux 6.5): its id may be another's by now.
#[expect(unsafe_code, reason = "the option has no binding")]
pub(crate) fn peer_process(connection: BorrowedFd<'_>) -> Option<OwnedFd> {
    const SO_PEERPIDFD: libc::c_int = 77;
    let mut descriptor: libc::c_int = -1;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes, which is the integer's size.
    let outcome = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut descriptor).cast(),
            &raw mut size,
        )
    };
    // SAFETY: the kernel has made the descriptor for this call; it is nobody else's.
    (outcome == 0 && descriptor >= 0).then(|| unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Process id of the other end, as this process sees it; `None` when it cannot see it.
pub(crate) fn peer(connection: BorrowedFd<'_>) -> Option<u32> {
    u32::try_from(credentials(connection)?.pid).ok().filter(|&pid| pid != 0)
}

/// User of the other end.
pub(crate) fn peer_user(connection: BorrowedFd<'_>) -> Option<u32> {
    Some(credentials(connection)?.uid)
}

#[expect(unsafe_code, reason = "the safe binding cannot express the process id 0 of a foreign PID namespace")]
fn credentials(connection: BorrowedFd<'_>) -> Option<libc::ucred> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes, which is the structure's size, and all bytes are valid for it.
    let outcome = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut size,
        )
    };
    (outcome == 0).then_some(credentials)
}
