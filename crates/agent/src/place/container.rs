//! Which container and pod a process is in, by what the kernel lists of its control groups and mounts.
//!
//! Whoever runs a container chooses these paths, and a process inside may add to them: every text is taken apart by exact
//! forms, and what has none of them says nothing.

/// What was found; what was not is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    /// As its runtime calls it: 64 hexadecimal digits, or Fargate's 32 and a number.
    pub(super) id: Option<String>,
    /// The pod's uid, as Kubernetes writes it.
    pub(super) pod: Option<String>,
    /// What the pod calls it.
    pub(super) name: Option<String>,
}

impl Container {
    /// By `/proc/PID/cgroup` and `/proc/PID/mountinfo`.
    pub(super) fn find(groups: &str, mounts: &str) -> Self {
        let mut found = Self::default();
        // hierarchy:controllers:path, and colons in the path are its own.
        for path in groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
            found.read_group(path);
        }
        let mounts: Vec<Mount<'_>> = mounts.lines().filter_map(Mount::parse).collect();
        for mount in &mounts {
            found.read_mount(mount);
        }
        // In a pod these files are the sandbox's, which is another container.
        if found.id.is_none() && found.pod.is_none() {
            found.id = mounts.iter().find_map(Mount::container).map(str::to_owned);
        }
        found
    }

    fn read_group(&mut self, path: &str) {
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        // The innermost: a container may run others.
        let parts = || path.rsplit(['/', ':']).map(|part| part.strip_suffix(".slice").unwrap_or(part));
        if self.id.is_none() {
            self.id = parts().find_map(id_in).or_else(|| task_in(path)).map(str::to_owned);
        }
        if self.pod.is_none() {
            self.pod = parts().find_map(pod_in);
        }
    }

    fn read_mount(&mut self, mount: &Mount<'_>) {
        if mount.is_group {
            self.read_group(mount.root);
        }
        let mut below = mount.root.rsplit_once("/pods/").map_or("", |(_, rest)| rest).split('/');
        let Some(uid) = below.next().and_then(uid) else { return };
        let is_hosts = mount.at == "/etc/hosts" && below.clone().eq(["etc-hosts"]);
        let is_log = mount.at == "/dev/termination-log" && below.next() == Some("containers");
        if !is_hosts && !is_log {
            return; // some volume of a pod; also programs outside have those
        }
        self.pod.get_or_insert(uid);
        if is_log && self.name.is_none() {
            let name = below.next().filter(|name| is_label(name));
            self.name = name.map(str::to_owned);
        }
    }
}

/// A line of mountinfo: `36 35 98:0 /root /at options… - type source options`.
struct Mount<'a> {
    /// What of its file system is seen.
    root: &'a str,
    at: &'a str,
    is_group: bool,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        let kind = fields.skip_while(|field| *field != "-").nth(1)?;
        Some(Self { root, at, is_group: matches!(kind, "cgroup" | "cgroup2") })
    }

    /// The container whose runtime has put this file there.
    fn container(&self) -> Option<&'a str> {
        let file =
            self.at.strip_prefix("/etc/").filter(|file| matches!(*file, "hostname" | "hosts" | "resolv.conf"))?;
        let folder = self.root.strip_suffix(file)?.strip_suffix('/')?;
        let folder = folder.strip_suffix("/userdata").unwrap_or(folder); // podman's
        let (folders, id) = folder.rsplit_once('/')?;
        let kept = folders.rsplit('/').next()?;
        (matches!(kept, "containers" | "overlay-containers" | "vfs-containers" | "btrfs-containers") && is_id(id))
            .then_some(id)
    }
}

/// The container's id in one part of a path: `ID`, `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`,
/// `libpod-ID.scope`.
fn id_in(part: &str) -> Option<&str> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let (runtime, id) = part.rsplit_once('-').unwrap_or(("", part));
    // conmon watches a container, outside of it.
    let watches = runtime == "conmon" || runtime.ends_with("-conmon");
    (is_id(id) && !watches && runtime.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')).then_some(id)
}

/// A container of ECS on Fargate: `/ecs/TASK/TASK-NUMBER`.
fn task_in(path: &str) -> Option<&str> {
    let (_, below) = path.split_once("/ecs/")?;
    let (task, container) = below.split_once('/')?;
    let (own, number) = container.split_once('-')?;
    let is_number = (1..=10).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_hex(task, 32) && own == task && is_number).then_some(container)
}

/// The pod in one part of a path: `podUID`, `kubepods-burstable-podUID`.
fn pod_in(part: &str) -> Option<String> {
    let start = part.rfind("pod")?;
    let before = &part[..start];
    (before.is_empty() || before.ends_with('-')).then(|| uid(&part[start + 3..]))?
}

/// A pod's uid: a UUID, whose dashes systemd has as underscores; of pods that the node's own files describe, a hash.
fn uid(text: &str) -> Option<String> {
    if is_hex(text, 32) {
        return Some(text.to_owned());
    }
    let separator = if text.contains('_') { '_' } else { '-' };
    let mut parts = text.split(separator);
    let fits = [8, 4, 4, 4, 12].into_iter().all(|length| parts.next().is_some_and(|part| is_hex(part, length)));
    (fits && parts.next().is_none()).then(|| text.replace('_', "-"))
}

fn is_id(text: &str) -> bool {
    is_hex(text, 64)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What Kubernetes lets a container be called: a DNS label.
fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "4fa6e0f0c6786287e131c3852c58a2e01cc697a68231826813597e4994f1d6e2";
    const OTHER: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const UID: &str = "0b7a5b4e-6a32-4f43-9a0c-1d5f0a1b2c3d";
    const HASH: &str = "c86c3ebd4a1c3a6a9b0fd06bb37b3c1f";

    /// `ID`, `OTHER`, `UID`, `UNDER` (the uid as systemd writes it) and `HASH` stand for themselves.
    fn filled(text: &str) -> String {
        let text = text.replace("OTHER", OTHER).replace("UID", UID).replace("HASH", HASH);
        text.replace("UNDER", &UID.replace('-', "_")).replace("ID", ID)
    }

    fn by_group(path: &str) -> (Option<String>, Option<String>) {
        let found = Container::find(&filled(&format!("0::{path}\n")), "");
        (found.id, found.pod)
    }

    /// The forms of the runtimes that there are, with version 1 and 2 of control groups, with systemd and without.
    #[test]
    fn every_runtimes_form_is_known() {
        for (path, pod) in [
            ("/docker/ID", None),
            ("/system.slice/docker-ID.scope", None),
            ("/system.slice/docker-ID.scope/init.scope", None),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/docker-ID.scope", None),
            ("/system.slice/nerdctl-ID.scope", None),
            ("/default/ID", None),
            ("/machine.slice/libpod-ID.scope", None),
            ("/machine.slice/libpod-ID.scope/container", None),
            ("/libpod_parent/libpod-ID", None),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container", None),
            ("/kubepods/podUID/ID", Some(UID)),
            ("/kubepods/burstable/podUID/ID", Some(UID)),
            ("/kubepods/besteffort/podHASH/ID", Some(HASH)),
            ("/kubepods/burstable/podUID/crio-ID", Some(UID)),
            ("/kubepods.slice/kubepods-podUNDER.slice/docker-ID.scope", Some(UID)),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUNDER.slice/cri-containerd-ID.scope",
                Some(UID),
            ),
            ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podHASH.slice/crio-ID.scope", Some(HASH)),
            ("/kubepods.slice/kubepods-podUNDER.slice/crio-ID.scope/container", Some(UID)),
            ("/system.slice/containerd.service/kubepods-burstable-podUNDER.slice:cri-containerd:ID", Some(UID)),
            (
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podUNDER.slice/cri-containerd-ID.scope",
                Some(UID),
            ),
            ("/docker/OTHER/kubelet/kubepods/burstable/podUID/ID", Some(UID)),
            ("/kubepods/burstable/podUID/OTHER/docker/ID", Some(UID)),
            ("/../../kubepods-besteffort-podUNDER.slice/cri-containerd-ID.scope", Some(UID)),
            ("/../cri-containerd-ID.scope", None),
            ("/docker/ID (deleted)", None),
        ] {
            assert_eq!(by_group(path), (Some(ID.to_owned()), pod.map(str::to_owned)), "{path}");
        }
        let fargate = "/ecs/HASH/HASH-2531612879";
        assert_eq!(by_group(fargate).0, Some(filled("HASH-2531612879")));
        assert_eq!(by_group("/ecs/54-task/ID").0.as_deref(), Some(ID));
        let first =
            "12:pids:/kubepods/burstable/podUID/ID\n11:cpu,cpuacct:/kubepods/burstable/podUID/ID\n0::/system.slice\n";
        let found = Container::find(&filled(first), "");
        assert_eq!((found.id.as_deref(), found.pod.as_deref()), (Some(ID), Some(UID)));
    }

    /// What looks like one of them and is none says nothing.
    #[test]
    fn other_paths_say_nothing() {
        let long = format!("/{}", "a".repeat(1 << 16));
        for path in [
            "/",
            "",
            "/user.slice/user-0.slice/session-3.scope",
            "/system.slice/podman.service",
            "/system.slice/tripod-c86c3ebd.service",
            "/machine.slice/libpod-conmon-ID.scope",
            "/system.slice/crio-conmon-ID.scope",
            "/system.slice/conmon-ID.scope",
            "/docker/ID0",
            "/docker/0ID",
            "/docker/HASH",
            "/ecs/HASH/HASH-",
            "/ecs/HASH/HASH-12345678901",
            "/ecs/HASH/other-1",
            "/podUI/x",
            "/pod/x",
            "/kubepods/pod0b7a5b4e-6a32-4f43-9a0c-1d5f0a1b2c3/x",
            "/kubepods/pod0b7a5b4e-6a32_4f43-9a0c-1d5f0a1b2c3d/x",
            "/kubepods/podUID-1/x",
            "/kubepods/pod0B7A5B4E-6A32-4F43-9A0C-1D5F0A1B2C3D/x",
            "/\u{fffd}pod\u{fffd}/é-ID.scope",
            "/Docker-ID.scope",
            &long,
        ] {
            assert_eq!(by_group(path), (None, None), "{path}");
        }
        assert_eq!(Container::find("no colons\n1:only one\n\n::\n", "1 2 3\n- -\n\n"), Container::default());
    }

    /// In a control group namespace of its own, or asked from another, a process's mounts still say it.
    #[test]
    fn mounts_say_what_groups_do_not() {
        let find = |mounts: &str| Container::find("0::/\n", &filled(mounts));
        let with_id = |found: Container| (found.id.as_deref() == Some(ID), found.pod.is_none()) == (true, true);
        for mount in [
            "711 694 254:1 /var/lib/docker/containers/ID/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw",
            "711 694 254:1 /docker/containers/ID/resolv.conf /etc/resolv.conf rw shared:1 master:2 - xfs /dev/vdb rw",
            "711 694 0:24 /containers/storage/overlay-containers/ID/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw",
            "30 23 0:26 /docker/ID /sys/fs/cgroup/memory ro,nosuid master:11 - cgroup cgroup rw,memory",
            "30 23 0:26 /system.slice/docker-ID.scope /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw",
        ] {
            assert!(with_id(find(mount)), "{mount}");
        }
        let pod = find(
            "1 2 8:1 /var/lib/kubelet/pods/UID/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw\n\
             1 2 8:1 /var/lib/kubelet/pods/UID/containers/cart/0a1b2c3d /dev/termination-log rw - ext4 /dev/sda1 rw\n\
             1 2 0:5 /containerd/io.containerd.grpc.v1.cri/sandboxes/OTHER/hostname /etc/hostname rw - tmpfs t rw\n\
             1 2 0:5 /containers/storage/overlay-containers/OTHER/userdata/hostname /etc/hostname rw - tmpfs t rw\n",
        );
        assert_eq!(pod, Container { id: None, pod: Some(UID.to_owned()), name: Some("cart".to_owned()) });
        for nothing in [
            "1 2 8:1 /var/lib/kubelet/pods/UID/volumes/data /srv rw - ext4 /dev/sda1 rw",
            "1 2 8:1 / /var/lib/kubelet/pods/UID/etc-hosts rw - tmpfs tmpfs rw",
            "1 2 8:1 /var/lib/kubelet/pods/UID/containers/../x /dev/termination-log rw - ext4 /dev/sda1",
            "1 2 8:1 /var/lib/docker/containers/ID/hostname /tmp/hostname rw - ext4 /dev/sda1 rw",
            "1 2 8:1 /docker/ID /sys/fs/cgroup rw - tmpfs cgroup rw",
            "1 2 8:1 /home/me/ID/hostname /etc/hostname rw - ext4 /dev/sda1 rw",
            "1 2 8:1 /docker/containers/ID/hostname /etc/hostname rw",
        ] {
            let found = find(nothing);
            assert!(found.id.is_none() && found.name.is_none(), "{nothing}: {found:?}");
        }
    }

    proptest! {
        /// Nothing makes it fail, and what it finds has the form that was promised.
        #[test]
        fn any_text_is_borne(
            groups in "([0-9]{1,2}:[a-z,]{0,5}:)?(/|pod|-|:|_|[0-9a-f]{8,64}|\\.scope|\\.slice|\\PC){0,40}\n",
            mounts in "(\\PC{0,10} ){0,8}(/|pods/|containers/|[0-9a-f]{8,64}|\\PC){0,20} (- cgroup2?)?",
        ) {
            let found = Container::find(&groups, &mounts);
            let form = |text: &String| text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
            prop_assert!(found.id.iter().chain(&found.pod).all(form));
            prop_assert!(found.id.is_none_or(|id| id.len() == 64 || (34..=43).contains(&id.len())));
            prop_assert!(found.pod.is_none_or(|uid| uid.len() == 32 || uid.len() == 36));
        }
    }
}
