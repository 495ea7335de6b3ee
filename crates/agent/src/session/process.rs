//! What the system knows about a process: its end, its executable, and whether it holds tandem's memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use model::{Resource, Value};
use record::layout::{HEADER, MEMFD_NAME};
use record::{Header, Identity, MonotonicNanos};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::place::{self, Place};

/// A descriptor of the program's memory is at this number or little above (the program moves it there).
const LIKELY_DESCRIPTORS: std::ops::RangeInclusive<u32> = 200..=201;

/// A descriptor that becomes readable when the process has ended; `None` when it has ended already.
pub(crate) fn watch(pid: u32) -> io::Result<Option<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::SRCH) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Processes of this machine, other than ourselves.
pub(crate) fn all() -> Vec<u32> {
    let own = std::process::id();
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|&pid| pid != own).collect()
}

/// When the program of this memory started, as it says itself.
pub(crate) fn started(memory: &File) -> Option<MonotonicNanos> {
    let mut start = [0; 8];
    memory.read_exact_at(&mut start, HEADER.at("start_monotonic") as u64).ok()?;
    Some(MonotonicNanos(u64::from_le_bytes(start)))
}

/// The user of a process.
pub(crate) fn user(pid: u32) -> Option<u32> {
    Some(fs::metadata(format!("/proc/{pid}")).ok()?.uid())
}

/// The process id that a memory's program gave itself.
pub(crate) fn owner(memory: BorrowedFd<'_>) -> Option<u32> {
    let mut pid = [0; 4];
    rustix::io::pread(memory, &mut pid, HEADER.at("pid") as u64).ok()?;
    Some(u32::from_ne_bytes(pid))
}

/// The id that a process sees as its own: another one in a pid namespace. `None`: it has ended, or may not be looked at.
pub(crate) fn own_id(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    ids.split_whitespace().next_back()?.parse().ok()
}

/// Whether a process can be the one that gave itself this id. One that has ended, or may not be looked at, can.
pub(crate) fn may_be(pid: u32, says: u32) -> bool {
    own_id(pid).is_none_or(|own| own == says)
}

/// The shared memory of a woven program; `thorough` looks at all its descriptors.
pub(crate) fn find_memory(pid: u32, thorough: bool) -> Option<File> {
    let folder = folder(pid);
    let likely = LIKELY_DESCRIPTORS.into_iter().find_map(|number| open_memory(&folder.join(number.to_string())));
    if likely.is_some() || !thorough {
        return likely;
    }
    fs::read_dir(&folder).ok()?.flatten().find_map(|entry| open_memory(&entry.path()))
}

/// Every shared memory that the process holds; more than one where it holds several Go runtimes.
pub(crate) fn memories(pid: u32) -> Vec<Identity> {
    let entries = fs::read_dir(folder(pid)).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| open_memory(&entry.path()));
    files.filter_map(|file| Identity::of(file.as_fd()).ok()).collect()
}

fn folder(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/fd"))
}

fn open_memory(path: &Path) -> Option<File> {
    let target = fs::read_link(path).ok()?;
    if target.to_str()? != format!("/memfd:{MEMFD_NAME} (deleted)") {
        return None;
    }
    File::options().read(true).write(true).open(path).ok()
}

/// Whether all that is left of the process is its exit code.
pub(crate) fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// What the kernel tells of a process by a file of `/proc/PID`; empty where it may not be read. A process can make these as long
/// as it likes.
pub(crate) fn told(pid: u32, file: &str) -> String {
    const MOST: u64 = 1 << 20;
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/{file}")) {
        let _ = file.take(MOST).read_to_end(&mut bytes); // what could be read is what there is
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The process as OpenTelemetry's resource conventions describe it.
pub(crate) fn resource(pid: u32, header: &Header, text: &str) -> Resource {
    let runtime = Runtime { go: Some(&header.go_version), tandem: &header.tandem_version };
    describe(&Process::of(pid), &runtime, text, true)
}

/// The same of a process that says nothing itself: its environment says what it is called, else its executable does. One
/// that was woven is called as it calls itself.
pub(crate) fn resource_from_outside(pid: u32, go: Option<&str>, woven: bool) -> Resource {
    let environment = told(pid, "environ").replace('\n', " ").replace('\0', "\n");
    let runtime = Runtime { go, tandem: env!("CARGO_PKG_VERSION") };
    describe(&Process::of(pid), &runtime, &environment, woven)
}

/// What nobody can say of himself otherwise than it is.
const SEEN: [&str; 3] = ["process.pid", "process.executable.path", "process.executable.name"];

struct Process {
    pid: u32,
    executable: Option<PathBuf>,
    place: Place,
}

impl Process {
    fn of(pid: u32) -> Self {
        let executable = fs::read_link(format!("/proc/{pid}/exe")).ok();
        Self { pid, executable, place: Place::of(pid) }
    }
}

/// What it runs with.
struct Runtime<'a> {
    /// Version of Go, where it is a Go program.
    go: Option<&'a str>,
    tandem: &'a str,
}

/// `text` has a variable of its environment in each line. Without a name there the service is unknown, by the conventions,
/// or called as its executable.
fn describe(process: &Process, runtime: &Runtime<'_>, text: &str, unknown: bool) -> Resource {
    let mut attributes = place::attributes(&process.place, text);
    let mut put = |key: &str, value: Value| drop(attributes.insert(key.to_owned(), value));
    put("process.pid", Value::Int(process.pid.into()));
    if let Some(version) = runtime.go {
        put("process.runtime.name", Value::String("go".to_owned()));
        put("process.runtime.version", Value::String(version.to_owned()));
        put("telemetry.sdk.language", Value::String("go".to_owned()));
    }
    put("telemetry.sdk.name", Value::String("tandem".to_owned()));
    put("telemetry.sdk.version", Value::String(runtime.tandem.to_owned()));
    let mut name = "unknown_service".to_owned();
    if let Some(executable) = &process.executable {
        // The kernel marks an executable that was replaced while it runs.
        let path = executable.to_string_lossy();
        let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
        let base = path.rsplit('/').next().unwrap_or(path);
        put("process.executable.path", Value::String(path.to_owned()));
        put("process.executable.name", Value::String(base.to_owned()));
        name = if unknown { format!("unknown_service:{base}") } else { base.to_owned() };
    }
    put("service.name", Value::String(name));
    // The user's own words win, OTEL_SERVICE_NAME over everything; but who it is we have seen ourselves.
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    for (key, value) in line("OTEL_RESOURCE_ATTRIBUTES").into_iter().flat_map(pairs) {
        if !SEEN.contains(&key.as_str()) {
            put(&key, Value::String(value));
        }
    }
    if let Some(service) = line("OTEL_SERVICE_NAME").filter(|service| !service.is_empty()) {
        put("service.name", Value::String(service.to_owned()));
    }
    Resource { attributes }
}

/// `key=value,key=value`, percent-encoded; pairs without a key are left out.
pub(crate) fn pairs(list: &str) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text.trim()).decode_utf8_lossy().into_owned();
    list.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(move |(key, value)| (decode(key), decode(value)))
        .filter(|(key, value)| !key.is_empty() && (key != "service.name" || !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Memory;
    use record::writer::{Options, Writer};

    fn described(text: &str, executable: Option<&str>) -> Resource {
        let writer = Writer::create(Options::default()).expect("create");
        let memory = Memory::open(writer.descriptor_of_file()).expect("open");
        let process = Process { pid: 7, executable: executable.map(PathBuf::from), place: Place::default() };
        let header = memory.header();
        let runtime = Runtime { go: Some(&header.go_version), tandem: &header.tandem_version };
        describe(&process, &runtime, text, true)
    }

    /// OTEL_SERVICE_NAME, then OTEL_RESOURCE_ATTRIBUTES, then the executable's name.
    #[test]
    fn the_service_has_the_name_the_conventions_give_it() {
        let exe = Some("/opt/shop/cart");
        let attributes =
            "OTEL_RESOURCE_ATTRIBUTES=service.name=from%20list,deployment.environment.name=test, team = a=b ,x,=y";
        let named = described(&format!("OTEL_SERVICE_NAME=given\n{attributes}"), exe);
        let lies = "OTEL_RESOURCE_ATTRIBUTES=process.pid=1,process.executable.path=/bin/su,process.executable.name=su";
        let honest = described(lies, exe).attributes;
        assert_eq!(honest.get("process.pid"), Some(&Value::Int(7)));
        assert_eq!(honest.get("process.executable.path"), Some(&Value::String("/opt/shop/cart".to_owned())));
        assert_eq!(honest.get("process.executable.name"), Some(&Value::String("cart".to_owned())));
        assert_eq!(named.service(), "given");
        assert_eq!(named.attributes.get("deployment.environment.name"), Some(&Value::String("test".to_owned())));
        assert_eq!(named.attributes.get("team"), Some(&Value::String("a=b".to_owned())));
        assert_eq!(described(attributes, exe).service(), "from list");
        assert_eq!(described("OTEL_SERVICE_NAME=", exe).service(), "unknown_service:cart");
        assert_eq!(described("", Some("/opt/shop/cart (deleted)")).service(), "unknown_service:cart");
        assert_eq!(described("", None).service(), "unknown_service");
    }
}
