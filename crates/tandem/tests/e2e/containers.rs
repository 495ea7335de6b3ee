//! Programs in containers: namespaces of their own for mounts, processes, the network, names and control groups, made here
//! as a container runtime makes them; all that they share with the agent is the folder of its socket.
//!
//! Guarantees: a woven program is served however it was started, before the agent or after it, with both halves of the
//! anatomy; one that was not woven is observed by its container's id; and their resources say which container, pod and
//! system they are in. Needs root, `unshare`, and control groups of version 2 that can be written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use model::{Attributes, Source, Span, Value};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::agent::machine;
use crate::golang::plain;
use crate::prometheus;
use crate::rig::{LIMIT, Rig, Running, eventually};
use crate::spans::{attribute, service};
use crate::steps::program;
use crate::support::skip;

const UID: &str = "0b7a5b4e-6a32-4f43-9a0c-1d5f0a1b2c3d";

/// In its namespaces: a root with the program and the system's libraries in it, and the agent's folder.
const CONTAINER: &str = r#"
set -e
root=$1 shared=$2
mount -t tmpfs tmpfs "$root"
mkdir -p "$root"/proc "$root"/etc "$root"/run/tandem "$root"/tmp
cp "$3" "$root"/program
echo 'NAME="Container Linux"' >"$root"/etc/os-release
echo 'VERSION_ID=7' >>"$root"/etc/os-release
for folder in /lib /lib64 /usr/lib; do
    [ -d "$folder" ] || continue
    mkdir -p "$root$folder" && mount --bind -o ro "$folder" "$root$folder"
done
mount --bind "$shared" "$root"/run/tandem
mount -t proc proc "$root"/proc
ip link set lo up
hostname inside
exec chroot "$root" /program /tmp/account
"#;

/// A control group as the kubelet and containerd name it. Dropped, it is removed.
struct Group {
    path: PathBuf,
    id: String,
}

impl Group {
    fn new() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
        let top = mounts.lines().find_map(|line| {
            let at = line.split(' ').nth(4)?;
            line.contains(" - cgroup2 ").then(|| PathBuf::from(at))
        });
        let top = top.ok_or("control groups of version 2 are not mounted")?;
        let random = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel's random numbers");
        let half = random.trim().replace('-', "");
        let id = format!("{half}{half}");
        let name = format!("kubepods-burstable-pod{}.slice:cri-containerd:{id}", UID.replace('-', "_"));
        let path = top.join(name);
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, id })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is busy until the last process in it has gone.
        if eventually(LIMIT, || fs::remove_dir(&self.path).ok()).is_none() {
            eprintln!("{} is left behind", self.path.display());
        }
    }
}

/// A program in a container. Dropped, it ends, and with it all that was made for it.
struct Contained {
    address: String,
    /// As the machine's other processes see it.
    pid: u32,
    running: Option<Running>,
    group: Group,
    root: PathBuf,
}

impl Contained {
    fn start(rig: &Rig, name: &str, program: &Path, group: Group) -> Self {
        let root = rig.path().join(name);
        fs::create_dir(&root).expect("a folder");
        let mut command = crate::rig::program("sh");
        let into = format!("echo $$ >{}/cgroup.procs && exec unshare \"$@\"", group.path.display());
        command.args(["-c", &into, "sh", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork"]);
        command.args(["--kill-child", "--propagation", "private", "sh", "-c", CONTAINER, "sh"]);
        command.arg(&root).arg(shared(rig)).arg(program);
        command.env("OTEL_SERVICE_NAME", name).env("POD_NAME", format!("{name}-0")).env("POD_NAMESPACE", "shop");
        let mut running = Running::start(&mut command);
        let (own, address) = running.stdout_line(|line| {
            let mut words = line.strip_prefix("pid ")?.split(" address ");
            Some((words.next()?.parse::<u32>().ok()?, words.next()?.to_owned()))
        });
        assert_eq!(own, 1, "it has a namespace of its own");
        let outer = running.pid();
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).expect("its children");
        let pid = children.trim().parse().expect("one child");
        Self { address, pid, running: Some(running), group, root }
    }

    /// Has it take a step. Its network is its own, so somebody must go there.
    fn step(&self, number: u32) {
        let network = fs::File::open(format!("/proc/{}/ns/net", self.pid)).expect("its network");
        let address = self.address.clone();
        let asking = std::thread::spawn(move || {
            use std::os::fd::AsFd;
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may");
            prometheus::get(&address, &format!("/step?n={number}"));
        });
        asking.join().expect("it answers");
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        drop(self.running.take()); // the kernel ends the rest with it, and takes the mounts down
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The folder of the agent's socket.
fn shared(rig: &Rig) -> PathBuf {
    let folder = rig.path().join("shared");
    let _ = fs::create_dir(&folder);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("a folder of ours");
    folder
}

fn agent(rig: &Rig) -> Command {
    let mut agent = rig.observe("agent");
    agent.arg("--socket").arg(shared(rig).join("agent.sock"));
    agent.env("K8S_NODE_NAME", "node-7").env("OTEL_RESOURCE_ATTRIBUTES", "cloud.region=here-1,service.name=agent");
    agent
}

fn listening(agent: &mut Running) {
    agent.stderr_line(|line| line.contains("listening").then_some(()));
}

/// The resource of a service, as the store has it.
fn resource(rig: &Rig, name: &str) -> Attributes {
    eventually(LIMIT, || {
        let span = rig.spans().into_iter().find(|span| service(span) == name)?;
        let trace = store::Reader::open(&rig.store()).ok()?.trace(span.trace_id).ok()??;
        let stored = trace.spans.into_iter().find(|stored| stored.span_id == span.span_id)?;
        Some(stored.resource.attributes.clone())
    })
    .unwrap_or_else(|| panic!("{name} is not in the store: {:?}", rig.spans()))
}

/// What every program in such a container is, as its resource says it.
fn assert_placed(resource: &Attributes, contained: &Contained, name: &str) {
    let pod = format!("{name}-0");
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for (key, expected) in [
        ("service.name", name),
        ("container.id", &contained.group.id),
        ("k8s.pod.uid", UID),
        ("k8s.pod.name", &pod),
        ("k8s.namespace.name", "shop"),
        ("k8s.node.name", "node-7"),
        ("cloud.region", "here-1"),
        ("host.name", &node),
        ("os.type", "linux"),
        ("os.name", "Container Linux"),
        ("os.version", "7"),
        ("process.executable.name", "program"),
    ] {
        assert_eq!(resource.get(key), Some(&Value::String(expected.to_owned())), "{key} of {resource:#?}");
    }
    assert_eq!(resource.get("process.pid"), Some(&Value::Int(contained.pid.into())));
}

/// A group for each container, unless this machine lacks something; then the test has been counted as skipped.
fn groups<const N: usize>(test: &str) -> Option<[Group; N]> {
    if crate::support::is_without_go(test) {
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        skip(test, "only root can make namespaces and control groups");
        return None;
    }
    let mut groups = Vec::new();
    for _ in 0..N {
        match Group::new() {
            Ok(group) => groups.push(group),
            Err(error) => {
                skip(test, &error);
                return None;
            }
        }
    }
    groups.try_into().ok()
}

/// Scenario: a woven program in a container before the agent, one in another after it.
#[test]
fn woven_programs_in_containers_are_served() {
    let test = "containers woven_programs_in_containers_are_served";
    let Some([first, second]) = groups(test) else { return };
    let _machine = machine();
    let rig = Rig::new();
    let before = Contained::start(&rig, "before", &program("steps"), first);
    before.step(1);
    let mut agent = Running::start(&mut agent(&rig));
    listening(&mut agent);
    let after = Contained::start(&rig, "after", &program("steps"), second);

    let measured =
        |span: &Span| span.anatomy.as_ref().is_some_and(|anatomy| anatomy.parts_ns.keys().any(|part| part == "on_cpu"));
    let mut number = 2;
    for (name, contained) in [("before", &before), ("after", &after)] {
        let found = eventually(LIMIT, || {
            contained.step(number);
            number += 1;
            let spans = rig.spans();
            let mut own = spans.iter().filter(|span| service(span) == name);
            own.any(|span| measured(span) || agent.said("kernel half is off")).then_some(())
        });
        found.unwrap_or_else(|| panic!("{name} has no spans with both halves: {:?}", rig.spans().first()));
        assert_placed(&resource(&rig, name), contained, name);
    }
    // What it did before there was an agent was in its memory.
    let earliest = rig.spans().iter().any(|span| service(span) == "before" && attribute(span, "step.number") == "1");
    assert!(earliest, "{:?}", rig.spans());
    drop((before, after));
    let finished = agent.stop();
    assert_eq!(finished.code, 0, "{finished}");
    rig.assert_nothing_left();
}

/// Scenario: a program that nobody wove, in a container, observed by the container's id.
#[test]
fn programs_in_containers_are_observed() {
    let test = "containers programs_in_containers_are_observed";
    if let Err(error) = probe::features::require_uprobes() {
        return skip(test, &error.to_string());
    }
    let Some([group]) = groups(test) else { return };
    let _machine = machine();
    let rig = Rig::new();
    let id = group.id[..12].to_owned();
    let steps = plain("tests/programs", &["./steps"]).join("steps");
    let contained = Contained::start(&rig, "plain", &steps, group);
    let mut agent = Running::start(agent(&rig).args(["--observe", &format!("container:{id}")]));
    listening(&mut agent);
    let mut number = 0;
    let found = eventually(LIMIT, || {
        contained.step(number);
        number += 1;
        rig.spans().iter().any(|span| service(span) == "plain" && span.source == Source::Uprobe).then_some(())
    });
    found.unwrap_or_else(|| panic!("it has no spans: {:?}", rig.spans()));
    assert_placed(&resource(&rig, "plain"), &contained, "plain");
    drop(contained);
    let finished = agent.stop();
    assert_eq!(finished.code, 0, "{finished}");
    rig.assert_nothing_left();
}
