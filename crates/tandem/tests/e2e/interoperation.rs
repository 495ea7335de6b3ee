//! What readers that are not ours find in a woven program (docs/interoperation.md).
//!
//! The reader here is written from OpenTelemetry's texts alone (OTEP 4719, OTEP 4947) and that page: it knows nothing of
//! Tandem's code or layout, finds the mapping by its name, and looks at threads that it has stopped, as a profiler does.

#![cfg(target_arch = "x86_64")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::prometheus;
use crate::rig::{self, LIMIT, Rig, Running, eventually};
use crate::steps::program;
use crate::support::skip;

/// `opentelemetry.proto.processcontext.v1development.ProcessContext`.
#[derive(Clone, PartialEq, Message)]
struct ProcessContext {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    attributes: Vec<KeyValue>,
}

/// Texts and numbers of a list of attributes.
fn values(attributes: &[KeyValue]) -> BTreeMap<String, Result<String, i64>> {
    let value = |attribute: &KeyValue| match attribute.value.clone()?.value? {
        Value::StringValue(text) => Some(Ok(text)),
        Value::IntValue(number) => Some(Err(number)),
        _ => None,
    };
    let found: Vec<_> = attributes.iter().filter_map(|one| Some((one.key.clone(), value(one)?))).collect();
    assert_eq!(found.len(), attributes.len());
    let by_name: BTreeMap<_, _> = found.into_iter().collect();
    assert_eq!(by_name.len(), attributes.len(), "a key is there twice");
    by_name
}

struct Stranger {
    pid: i32,
    memory: File,
}

impl Stranger {
    fn of(pid: i32) -> io::Result<Self> {
        Ok(Self { pid, memory: File::open(format!("/proc/{pid}/mem"))? })
    }

    fn bytes(&self, address: u64, size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        self.memory.read_exact_at(&mut bytes, address)?;
        Ok(bytes)
    }

    fn word(&self, address: u64) -> io::Result<u64> {
        Ok(u64::from_ne_bytes(self.bytes(address, 8)?.try_into().expect("eight bytes")))
    }

    /// Where the process context is; `None`: the process publishes none.
    fn mapping(&self) -> Option<u64> {
        const NAMES: [&str; 3] = ["[anon_shmem:OTEL_CTX]", "[anon:OTEL_CTX]", "/memfd:OTEL_CTX"];
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid)).expect("it runs");
        let found: Vec<&str> = maps
            .lines()
            .filter(|line| {
                let name = line.splitn(6, ' ').nth(5).unwrap_or_default().trim_start();
                NAMES.iter().any(|known| name.starts_with(known))
            })
            .collect();
        assert!(found.len() <= 1, "more than one process context: {found:?}");
        let start = found.first()?.split('-').next()?;
        Some(u64::from_str_radix(start, 16).expect("an address"))
    }

    /// OTEP 4719's way to read it.
    fn process_context(&self) -> Option<ProcessContext> {
        let at = self.mapping()?;
        let header = self.bytes(at, 32).expect("the mapping can be read");
        assert_eq!(&header[..8], b"OTEL_CTX");
        assert_eq!(header[8..12], 2u32.to_ne_bytes());
        let size = u32::from_ne_bytes(header[12..16].try_into().expect("four bytes"));
        let published = u64::from_ne_bytes(header[16..24].try_into().expect("eight bytes"));
        let payload = u64::from_ne_bytes(header[24..32].try_into().expect("eight bytes"));
        assert_ne!(published, 0);
        let payload = self.bytes(payload, size as usize).expect("the payload can be read");
        assert_eq!(self.word(at + 16).expect("the same mapping"), published);
        Some(ProcessContext::decode(&payload[..]).expect("a ProcessContext"))
    }

    /// The span that a thread is in: its trace's id and its own, in hexadecimal digits. docs/interoperation.md says where to look.
    fn span_of(&self, thread_pointer: u64, place: &BTreeMap<String, Result<String, i64>>) -> Option<(String, String)> {
        let offset = |name: &str| *place[&format!("tandem.goroutine.{name}")].as_ref().expect_err("a number") as u64;
        let word = |address: u64| self.word(address).ok().filter(|&word| word != 0);
        let g = word(thread_pointer.wrapping_add(offset("tls_offset")))?;
        let context = word(g + offset("context_offset")).or_else(|| {
            let m = word(g + offset("m_offset"))?;
            word(word(m + offset("curg_offset"))? + offset("context_offset"))
        })?;
        let record = self.bytes(context + offset("record_offset"), 28).ok()?;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(record[26..28], [0, 0], "no attributes are published");
        (record[24] == 1).then(|| (hex(&record[..16]), hex(&record[16..24])))
    }

    /// The thread pointers of all threads, each of which is stopped for as long as `look` takes.
    #[expect(unsafe_code, reason = "a debugger's system calls")]
    fn each_thread(&self, mut look: impl FnMut(u64)) -> io::Result<()> {
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let Some(thread) = thread?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            // SAFETY: attaches to a thread of a process that this test has started.
            if unsafe { libc::ptrace(libc::PTRACE_ATTACH, thread, 0, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: waits for it; the status is not asked for. The registers are plain data that the kernel fills in.
            unsafe {
                libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL);
                let mut registers: libc::user_regs_struct = std::mem::zeroed();
                if libc::ptrace(libc::PTRACE_GETREGS, thread, 0, &raw mut registers) == 0 && registers.fs_base != 0 {
                    look(registers.fs_base);
                }
                libc::ptrace(libc::PTRACE_DETACH, thread, 0, 0);
            }
        }
        Ok(())
    }
}

/// Starts the program under `tandem run` and has it spin.
fn spinning(rig: &Rig, share: Option<&str>) -> (Running, i32, String, std::thread::JoinHandle<()>) {
    let mut tandem = rig.observe("run");
    tandem.env("OTEL_SERVICE_NAME", "shared").env("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,team=a%20b,odd=%zz");
    if let Some(share) = share {
        tandem.env("TANDEM_SHARE_CONTEXT", share);
    }
    let mut running = Running::start(tandem.arg("--").arg(program("share")));
    let (pid, address) = running.stdout_line(|line| {
        let mut words = line.strip_prefix("pid ")?.split(" address ");
        Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
    });
    let spinner = std::thread::spawn({
        let address = address.clone();
        move || {
            prometheus::try_request(&address, "/spin");
        }
    });
    running.stdout_line(|line| (line == "spinning").then_some(()));
    (running, pid, address, spinner)
}

/// The ids of the span `spin`, after the program has ended.
fn spin_of(rig: &Rig) -> (String, String) {
    let spans = rig.spans();
    let spin = spans.iter().find(|span| span.name == "spin").expect("the span has arrived");
    (spin.trace_id.to_string(), spin.span_id.to_string())
}

/// Scenario: a profiler that has never heard of Tandem's code. Guarantees: it finds the process context and its resource, and by what
/// that says the record of the span that a thread is in; the ids are those of the span that arrives.
#[test]
fn a_stranger_finds_the_span_that_a_thread_is_in() {
    let test = "interoperation a_stranger_finds_the_span_that_a_thread_is_in";
    if crate::support::is_without_go(test) {
        return;
    }
    let rig = Rig::new();
    let (running, pid, address, spinner) = spinning(&rig, None);
    let Ok(stranger) = Stranger::of(pid) else { return skip(test, "other processes cannot be debugged here") };
    let context = stranger.process_context().expect("a process context");
    let resource = values(&context.resource.clone().expect("a resource").attributes);
    let text = |name: &str| resource.get(name).and_then(|value| value.as_ref().ok()).map(String::as_str);
    assert_eq!(text("service.name"), Some("shared"));
    assert_eq!((text("team"), text("odd")), (Some("a b"), Some("%zz")));
    assert_eq!(text("telemetry.sdk.language"), Some("go"));
    let place = values(&context.attributes);
    assert_eq!(place["threadlocal.schema_version"], Ok("tandem_goroutine_v1_dev".to_owned()));

    let mut seen = Vec::new();
    let found = eventually(LIMIT, || {
        if let Err(error) = stranger.each_thread(|pointer| seen.extend(stranger.span_of(pointer, &place))) {
            return Some(Err(error));
        }
        (!seen.is_empty()).then_some(Ok(()))
    });
    match found {
        Some(Err(error)) => return skip(test, &format!("threads cannot be stopped here: {error}")),
        other => other.map(drop).expect("a thread is in a span"),
    }
    drop(prometheus::get(&address, "/stop"));
    spinner.join().expect("the request ends");
    assert_eq!(running.finish().code, 0);
    let spin = spin_of(&rig);
    assert!(seen.contains(&spin), "{spin:?} is not among {seen:?}");
}

/// Scenario: the same program, asked for labels. Guarantees: Go's own profile of goroutines, which anybody can ask the program
/// for, names the trace and the span; the process context says that labels are where to look.
#[test]
fn goroutine_labels_name_the_span_on_request() {
    if crate::support::is_without_go("interoperation goroutine_labels_name_the_span_on_request") {
        return;
    }
    let rig = Rig::new();
    let (running, pid, address, spinner) = spinning(&rig, Some("labels"));
    let profile = prometheus::get(&address, "/debug/pprof/goroutine?debug=1");
    let group = profile.split("\n\n").find(|group| group.contains("main.spin")).expect("the goroutine").to_owned();
    if let Ok(stranger) = Stranger::of(pid) {
        let context = stranger.process_context().expect("a process context");
        assert_eq!(values(&context.attributes)["threadlocal.schema_version"], Ok("go_pprof_labels_v1".to_owned()));
    }
    drop(prometheus::get(&address, "/stop"));
    spinner.join().expect("the request ends");
    assert_eq!(running.finish().code, 0);
    let (trace, span) = spin_of(&rig);
    let labels = format!("# labels: {{\"span_id\":\"{span}\", \"trace_id\":\"{trace}\"}}");
    assert!(group.contains(&labels), "{labels} is not in {group}");
}

/// What a pinned map of spans by thread has of a thread.
#[expect(unsafe_code, reason = "system calls without a binding")]
fn looked_up(map: &CStr, process: i32, thread: i32) -> io::Result<Option<(String, String)>> {
    const OBJECT_GET: libc::c_int = 7;
    const LOOKUP: libc::c_int = 1;
    // As the kernel's interface has them: a path; and a map, a key, a value.
    let mut get = [map.as_ptr() as u64, 0];
    // SAFETY: the path outlives the call, and the attributes have the size that is said.
    let opened = unsafe { libc::syscall(libc::SYS_bpf, OBJECT_GET, get.as_mut_ptr(), 16) };
    if opened < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let opened = unsafe { OwnedFd::from_raw_fd(opened as i32) };
    let key = (process as u64) << 32 | thread as u64;
    let mut value = [0u8; 24];
    let mut lookup = [opened.as_raw_fd() as u64, &raw const key as u64, value.as_mut_ptr() as u64, 0];
    // SAFETY: key and value are as large as the map's and outlive the call.
    if unsafe { libc::syscall(libc::SYS_bpf, LOOKUP, lookup.as_mut_ptr(), 32) } < 0 {
        return Ok(None);
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(Some((hex(&value[..16]), hex(&value[16..]))))
}

/// Scenario: a map that is asked for, a thread that is blocked in a system call, and one that runs. Guarantees: the first one's span is
/// there, all that is there is the span of a thread of ours, and the map is gone with the agent.
#[test]
fn threads_off_the_cpu_are_in_the_shared_map() {
    let test = "interoperation threads_off_the_cpu_are_in_the_shared_map";
    if crate::support::is_without_go(test) {
        return;
    }
    let rig = Rig::new();
    let folder = std::path::PathBuf::from(format!("/sys/fs/bpf/tandem-test-{}", std::process::id()));
    let path = folder.join("traces_ctx_v1");
    let mut tandem = rig.observe("run");
    tandem.arg(format!("--share-threads={}", path.display()));
    let mut running = Running::start(tandem.arg("--").arg(program("share")));
    let (pid, address) = running.stdout_line(|line| {
        let mut words = line.strip_prefix("pid ")?.split(" address ");
        Some((words.next()?.parse::<i32>().ok()?, words.next()?.to_owned()))
    });
    if !path.exists() {
        assert!(running.said("spans are not shared") || running.said("kernel half is off"));
        return skip(test, "eBPF programs cannot be loaded here");
    }
    let asks = ["/block", "/spin"].map(|what| {
        let address = address.clone();
        std::thread::spawn(move || prometheus::try_request(&address, what))
    });
    running.stdout_line(|line| (line == "blocking").then_some(()));
    running.stdout_line(|line| (line == "spinning").then_some(()));
    let map = CString::new(path.to_str().expect("text")).expect("no zero");
    let mut seen = BTreeSet::new();
    let mut rounds = 0;
    eventually(LIMIT, || {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
        let threads = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok());
        seen.extend(threads.filter_map(|thread| looked_up(&map, pid, thread).expect("root may")));
        rounds += 1;
        (rounds > 50 && !seen.is_empty()).then_some(())
    })
    .expect("a thread is off the CPU in a span");
    drop(prometheus::get(&address, "/stop"));
    for ask in asks {
        ask.join().expect("the request ends");
    }
    assert_eq!(running.finish().code, 0);
    assert!(!folder.exists(), "the map was left behind");

    let spans = rig.spans();
    let known: Vec<_> = spans.iter().map(|span| (span.trace_id.to_string(), span.span_id.to_string())).collect();
    let blocked = spans.iter().position(|span| span.name == "block").expect("the span has arrived");
    assert!(seen.contains(&known[blocked]), "{:?} is not among {seen:?}", known[blocked]);
    assert!(seen.iter().all(|ids| known.contains(ids)), "{seen:?} are not all among {known:?}");
}

/// Whoever does not want to be found is not: no mapping, no labels.
#[test]
fn nothing_is_shared_where_that_is_asked_for() {
    if crate::support::is_without_go("interoperation nothing_is_shared_where_that_is_asked_for") {
        return;
    }
    for (variable, value) in [("TANDEM_SHARE_CONTEXT", "none"), ("OTEL_SDK_DISABLED", "true")] {
        let mut running = Running::start(rig::program(program("share")).env(variable, value));
        let pid = running.stdout_line(|line| line.strip_prefix("pid ")?.split(' ').next()?.parse().ok());
        if let Ok(stranger) = Stranger::of(pid) {
            assert_eq!(stranger.mapping(), None, "{variable}={value}");
        }
        assert_eq!(running.finish().code, 0);
    }
}
