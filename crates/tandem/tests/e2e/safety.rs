//! What the agent may do, and what nobody may do through it (docs/security.md).
//!
//! Guarantees: an agent keeps the capabilities that the page lists and no others, works with them as any user, and takes none
//! from the program that it starts; it changes nothing in a watched program but the memory that the program gave it; users
//! see only their own spans and programs, unless they are allowed more.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::agent::machine;
use crate::prometheus;
use crate::rig::{LIMIT, Rig, Running, TANDEM, eventually, repository, run};
use crate::steps::{Steps, numbers, program};
use crate::support::skip;
use crate::unprivileged::copy;

/// Users of nobody in particular.
const AGENT: u32 = 65533;
const PROGRAM: u32 = 65532;
const STRANGER: u32 = 65534;
const GROUP: u32 = 65531;

/// Bits of the capabilities that docs/security.md lists, as the kernel numbers them. The first five are those that the page gives
/// to an agent with a user of its own.
const BITS: [(&str, u64); 8] = [
    ("CAP_PERFMON", 38),
    ("CAP_BPF", 39),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_SYS_NICE", 23),
    ("CAP_KILL", 5),
    ("CAP_NET_BIND_SERVICE", 10),
    ("CAP_NET_ADMIN", 12),
];

/// What the page lists: by how long it is kept, a set of capabilities.
fn documented() -> BTreeMap<String, u64> {
    let page = fs::read_to_string(repository().join("docs/security.md")).expect("the page");
    let bits = BTreeMap::from(BITS);
    let mut sets: BTreeMap<String, u64> = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `CAP_")) {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let name = cells.next().expect("a name").trim_matches('`');
        let bit = bits.get(name).unwrap_or_else(|| panic!("{name} is not known to this test"));
        *sets.entry(cells.next().expect("how long").to_owned()).or_default() |= 1 << bit;
    }
    sets
}

/// What each thread of a process has, by the names of `/proc/PID/status`.
fn threads(pid: i32) -> Vec<BTreeMap<String, u64>> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let statuses = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok());
    statuses.map(|status| status_of(&status)).collect()
}

fn status_of(status: &str) -> BTreeMap<String, u64> {
    let numbers = status.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let wanted = name.starts_with("Cap") || matches!(name, "NoNewPrivs" | "Seccomp");
        let value = value.trim();
        wanted.then(|| Some((name.to_owned(), u64::from_str_radix(value, 16).ok()?)))?
    });
    numbers.collect()
}

fn agent_missing(test: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return false;
    }
    skip(test, "it needs root");
    true
}

fn assert_kept(pid: i32, expected: u64, bounded: bool) {
    let threads = threads(pid);
    assert!(threads.len() > 1, "{threads:?}");
    for thread in threads {
        assert_eq!((thread["CapEff"], thread["CapPrm"]), (expected, expected), "{thread:x?}");
        assert_eq!((thread["CapInh"], thread["CapAmb"]), (0, 0), "{thread:x?}");
        assert_eq!((thread["NoNewPrivs"], thread["Seccomp"]), (1, 2), "{thread:x?}");
        if bounded {
            assert_eq!(thread["CapBnd"], expected, "{thread:x?}");
        }
    }
}

fn listening(agent: &mut Running) {
    agent.stderr_line(|line| line.contains("listening").then_some(()));
}

/// Scenario: root's agent, also with a port below 1024. Guarantees: each of its threads has what the page lists.
#[test]
fn an_agent_keeps_only_what_is_listed() {
    if agent_missing("safety an_agent_keeps_only_what_is_listed") {
        return;
    }
    let _machine = machine();
    let documented = documented();
    let rig = Rig::new();
    let mut agent = Running::start(rig.observe("agent").arg("--socket").arg(rig.path().join("agent.sock")));
    listening(&mut agent);
    assert_kept(agent.pid(), documented["always"], true);
    assert_eq!(agent.stop().code, 0);

    let mut low = rig.observe("agent");
    low.arg("--socket").arg(rig.path().join("agent.sock")).args(["--metrics", "127.0.0.1:791"]);
    let mut agent = Running::start(&mut low);
    listening(&mut agent);
    assert_kept(agent.pid(), documented["always"] | documented["with a port below 1024"], true);
    assert_eq!(agent.stop().code, 0);
}

/// Scenario: a program under `tandem run`. Guarantees: it has what whoever called has; the agent has what the page lists.
#[test]
fn a_program_keeps_all_that_its_caller_has() {
    if agent_missing("safety a_program_keeps_all_that_its_caller_has") {
        return;
    }
    let documented = documented();
    let rig = Rig::new();
    let mut running = Running::start(rig.observe("run").args(["--", "sh", "-c", "cat /proc/self/status; read end"]));
    running.stdout_line(|line| line.starts_with("nonvoluntary").then_some(()));
    assert_kept(running.pid(), documented["always"] | documented["by `tandem run`"], true);
    let finished = running.finish();
    assert_eq!(finished.code, 1, "{finished}"); // of read: its input has ended
    let own = status_of(&fs::read_to_string("/proc/self/status").expect("our own"));
    assert_eq!(status_of(&finished.stdout), own);
}

/// A command as another user, with these capabilities.
fn as_user(user: u32, group: u32, capabilities: &str, command: &Command) -> Command {
    let mut other = Command::new("setpriv");
    other.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]);
    if !capabilities.is_empty() {
        other.args([format!("--inh-caps={capabilities}"), format!("--ambient-caps={capabilities}")]);
    }
    other.arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

/// The same command of a tandem that everybody can run.
fn for_everybody(rig: &Rig, command: &Command) -> Command {
    let tandem = rig.path().join("tandem");
    if !tandem.exists() {
        copy(Path::new(TANDEM), rig);
        fs::set_permissions(rig.path(), fs::Permissions::from_mode(0o755)).expect("a folder of ours");
    }
    let mut other = Command::new(tandem);
    other.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

/// Scenario: the agent as a user of its own with no more than the page lists; programs of another user, one that runs already
/// and one that comes. Guarantees: both are served, with the kernel's half of the anatomy.
#[test]
fn an_agent_of_another_user_has_the_kernel_half() {
    let test = "safety an_agent_of_another_user_has_the_kernel_half";
    if crate::support::is_without_go(test) || agent_missing(test) {
        return;
    }
    let _machine = machine();
    let rig = Rig::new();
    let socket = rig.path().join("for/agent.sock");
    for (folder, user) in [("for", AGENT), ("store", AGENT), ("tmp", AGENT), ("before", PROGRAM), ("after", PROGRAM)] {
        let folder = rig.path().join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        chown(folder, Some(user), Some(user)).expect("root may give things away");
    }
    let steps = copy(&program("steps"), &rig);
    let start = |name: &str| {
        let mut command = crate::rig::program(&steps);
        command.arg(rig.path().join(name).join("account"));
        command.env("TANDEM_SOCKET", &socket).env("OTEL_SERVICE_NAME", name);
        let mut running = Running::start(&mut as_user(PROGRAM, PROGRAM, "", &command));
        let steps = Steps::of(&mut running, &rig);
        (running, steps)
    };
    let mut agent = rig.tandem("agent");
    agent
        .args(["--no-ui", "--socket"])
        .arg(&socket)
        .arg(format!("--json={}/spans.json", rig.path().join("for").display()));
    let names = documented()
        .keys()
        .any(|kept| kept == "always")
        .then(|| BITS.map(|(name, _)| format!("+{}", name.trim_start_matches("CAP_").to_lowercase()))[..5].join(","));
    let agent = as_user(AGENT, AGENT, &names.expect("a list"), &for_everybody(&rig, &agent));

    let (before, earlier) = start("before");
    let mut agent = Running::start(&mut { agent });
    listening(&mut agent);
    assert_kept(agent.pid(), documented()["always"], false);
    let (after, later) = start("after");
    let spans = || {
        let text = fs::read_to_string(rig.path().join("for/spans.json")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str::<model::Span>(line).ok()).collect::<Vec<_>>()
    };
    let has_kernel_half = |name: &str| {
        let measured = |span: &model::Span| {
            span.anatomy.as_ref().is_some_and(|anatomy| anatomy.parts_ns.keys().any(|part| part == "on_cpu"))
        };
        spans().iter().any(|span| crate::spans::service(span) == name && measured(span))
    };
    for (name, steps) in [("before", &earlier), ("after", &later)] {
        let mut number = 0;
        let found = eventually(LIMIT, || {
            prometheus::get(&steps.address, &format!("/step?n={number}"));
            number += 1;
            let arrived = !numbers(name, &spans()).is_empty();
            (arrived && has_kernel_half(name)).then_some(())
        });
        if found.is_none() && agent.said("kernel half is off") {
            return skip(test, "the kernel half cannot be had here");
        }
        found.unwrap_or_else(|| panic!("{name} has no spans with both halves: {:?}", spans().first()));
    }
    drop((before, after));
    let finished = agent.stop();
    assert_eq!(finished.code, 0, "{finished}");
}

/// Everything that the program may write to and no other process: its private memory.
fn private_memory(pid: i32) -> BTreeMap<(u64, u64), u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("root may look");
    let mut found = BTreeMap::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().expect("a range"), words.next().expect("rights"));
        if !rights.starts_with("rw") || !rights.ends_with('p') {
            continue;
        }
        let (start, end) = range.split_once('-').expect("a range");
        let [start, end] = [start, end].map(|number| u64::from_str_radix(number, 16).expect("a number"));
        let mut hasher = DefaultHasher::new();
        let mut page = [0; 4096];
        for address in (start..end).step_by(page.len()) {
            // What cannot be read is left out, the same way each time.
            match memory.read_exact_at(&mut page, address) {
                Ok(()) => page.hash(&mut hasher),
                Err(_) => address.hash(&mut hasher),
            }
        }
        found.insert((start, end), hasher.finish());
    }
    found
}

/// Scenario: a program that is stopped while an agent finds it, reads its spans and ends. Guarantees: not a byte of its own
/// memory is another one afterwards; it goes on, and its spans arrive.
#[test]
fn a_program_that_stands_still_is_not_changed() {
    let test = "safety a_program_that_stands_still_is_not_changed";
    if crate::support::is_without_go(test) || agent_missing(test) {
        return;
    }
    let _machine = machine();
    let rig = Rig::new();
    let socket = rig.path().join("agent.sock");
    let mut running =
        Running::start(Steps::alone(&rig).env("TANDEM_SOCKET", &socket).env("OTEL_SERVICE_NAME", "still"));
    let steps = Steps::of(&mut running, &rig);
    (0..10).for_each(|number| drop(prometheus::get(&steps.address, &format!("/step?n={number}"))));
    running.signal(Signal::STOP);
    let stopped = || fs::read_to_string(format!("/proc/{}/stat", steps.pid)).ok().filter(|stat| stat.contains(") T"));
    eventually(LIMIT, stopped).expect("it stops");
    let before = private_memory(steps.pid);
    assert!(before.len() > 5, "{before:?}");

    let mut agent = Running::start(rig.observe("agent").arg("--socket").arg(&socket));
    listening(&mut agent);
    eventually(LIMIT, || (numbers("still", &rig.spans()).len() == 10).then_some(())).expect("its spans are read");
    assert!(private_memory(steps.pid) == before, "the agent has written into the program");
    assert_eq!(agent.stop().code, 0);
    assert!(private_memory(steps.pid) == before, "the agent has written into the program");
    running.signal(Signal::CONT);
    prometheus::get(&steps.address, "/step?n=10");
    assert_eq!(running.stop().code, 128 + 15);
}

/// A request of another user: what he is answered.
fn asks(user: u32, address: &str) -> String {
    let (host, port) = address.rsplit_once(':').expect("an address");
    let script = format!(
        r#"exec 3<>/dev/tcp/{host}/{port}; printf 'GET /api/traces HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3; cat <&3"#
    );
    run(&mut as_user(user, user, "", Command::new("bash").args(["-c", &script])), LIMIT).stdout
}

/// Scenario: root's program under `tandem run` with a page, and another user who is curious. Guarantees: he is refused, by
/// the store, the page and the program, each time with words that say why; root is not.
#[test]
fn nobody_sees_another_users_spans() {
    let test = "safety nobody_sees_another_users_spans";
    if crate::support::is_without_go(test) || agent_missing(test) {
        return;
    }
    let rig = Rig::new();
    let mut tandem = rig.tandem("run");
    tandem.args(["--ui", "127.0.0.1:0"]);
    let mut running = Running::start(Steps::under(&mut tandem, &rig));
    let page = running.address("page");
    let steps = Steps::of(&mut running, &rig);
    prometheus::get(&steps.address, "/step?n=1");
    eventually(LIMIT, || (rig.traces(&[]).len() == 1).then_some(())).expect("the step is stored");
    let mode = |path: &Path| path.metadata().expect("a file").permissions().mode() & 0o7777;
    assert_eq!(mode(&rig.store()), 0o700);
    for entry in fs::read_dir(rig.store()).expect("the store") {
        assert_eq!(mode(&entry.expect("an entry").path()), 0o600);
    }

    let owner = asks(0, &page);
    assert!(owner.starts_with("HTTP/1.1 200") && owner.contains("step"), "{owner}");
    let stranger = asks(STRANGER, &page);
    assert!(stranger.starts_with("HTTP/1.1 403") && stranger.contains("another user's"), "{stranger}");
    assert!(!stranger.contains("step"), "{stranger}");

    let refused = |arguments: &[&str], words: &str| {
        let mut command = rig.tandem(arguments[0]);
        command.args(&arguments[1..]);
        let finished = run(&mut as_user(STRANGER, STRANGER, "", &for_everybody(&rig, &command)), LIMIT);
        assert_eq!(finished.code, 1, "{arguments:?}: {finished}");
        assert!(finished.stderr.contains(words), "{arguments:?}: {finished}");
        assert_eq!(finished.stdout, "", "{arguments:?}");
    };
    refused(&["traces"], "another user's: ask as that user or as root");
    refused(&["trace", "last"], "another user's");
    refused(&["logs"], "another user's");
    refused(&["ui", "127.0.0.1:0"][..1], "another user's");
    let pid = steps.pid.to_string();
    for command in ["list", "enable", "disable"] {
        let pattern = if command == "list" { vec![] } else { vec!["net/http.server"] };
        let arguments = [vec![command], pattern, vec!["--pid", &pid]].concat();
        refused(&arguments, "is somebody else's: run this as that user, or as root");
    }
    assert_eq!(run(rig.tandem("list").args(["--pid", &pid]), LIMIT).code, 0);
    assert_eq!(running.stop().code, 128 + 15);
}

/// Scenario: `tandem agent --group`. Guarantees: a member of the group reads the traces, while the agent runs and after it;
/// a stranger does not.
#[test]
fn a_group_may_read_what_its_agent_stores() {
    let test = "safety a_group_may_read_what_its_agent_stores";
    if crate::support::is_without_go(test) || agent_missing(test) {
        return;
    }
    let _machine = machine();
    let rig = Rig::new();
    let socket = rig.path().join("agent.sock");
    let mut agent = rig.observe("agent");
    agent.arg("--socket").arg(&socket).args(["--group", &GROUP.to_string()]);
    let mut agent = Running::start(&mut agent);
    listening(&mut agent);
    let mut running = Running::start(Steps::alone(&rig).env("TANDEM_SOCKET", &socket));
    let steps = Steps::of(&mut running, &rig);
    prometheus::get(&steps.address, "/step?n=1");
    eventually(LIMIT, || (!rig.traces(&[]).is_empty()).then_some(())).expect("the step is stored");
    let traces = |group: u32| {
        let mut command = rig.tandem("traces");
        command.arg("--json");
        run(&mut as_user(STRANGER, group, "", &for_everybody(&rig, &command)), LIMIT)
    };
    let member = traces(GROUP);
    assert!(member.code == 0 && member.stdout.contains("step"), "{member}");
    assert!(traces(STRANGER).stderr.contains("another user's"));
    assert_eq!(running.stop().code, 128 + 15);
    assert_eq!(agent.stop().code, 0);
    let member = traces(GROUP);
    assert!(member.code == 0 && member.stdout.contains("step"), "{member}");
    assert!(traces(STRANGER).stderr.contains("another user's"));
}
